"""Measures this library beside its peers, in one run: see ``scripts/bench --help``."""
