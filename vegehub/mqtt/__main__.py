"""Run a bridge without the command line's extra: ``python -m vegehub.mqtt --config bridge.yaml``."""

from __future__ import annotations

import sys

from .program import main

if __name__ == "__main__":
    sys.exit(main())
