"""Tools for tests: a guard that names everything a block of code left open."""

from __future__ import annotations

from .leaks import Leak, LeakError, LeakGuard

__all__ = ["Leak", "LeakError", "LeakGuard"]
