#!/usr/bin/env python3
"""Take a VegeHub, real or simulated, through numbered steps over one shared session, and prove that nothing leaks.

    python integration_test.py --simulate [PROFILE]     a simulated hub
    python integration_test.py --host ADDRESS           a real one; --actuators and --setup allow more
    python integration_test.py --discover               the one that announces itself
    python integration_test.py --prove-guard            leak on purpose; the leak guard must see every leak

Exit codes: 0 all passed and no leak, 1 a step failed or something leaked, 2 usage, 3 hub not reached, 130 interrupted.
"""

from __future__ import annotations

import sys

from vegehub.testing.harness_cli import main

if __name__ == "__main__":
    sys.exit(main())
