"""``scripts/model``: random histories for as long as is wanted, on all processors."""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import count

from model.many import Summary, in_words, program_of, run, shortest

CHUNK = 200
_DYING_SHARE = 10
"""Of so many chunks one has hubs that die for good; each of its histories lasts half a minute."""


def chunk(first: int, length: int, dying: bool) -> Summary:
    """Play ``length`` histories from seed ``first``."""
    return run(
        (program_of(seed, dying=dying) for seed in range(first, first + length)), at_once=length if dying else 32
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="scripts/model", description="Play random histories against simulated hubs.")
    parser.add_argument("--minutes", type=float, help="go on for so long (default: 1, or until --count is reached)")
    parser.add_argument(
        "--seed", type=int, default=None, help="play this one seed, or begin with it if --count is given"
    )
    parser.add_argument("--count", type=int, help="play so many histories")
    parser.add_argument("--dying", action="store_true", help="only histories in which the hub dies for good")
    parser.add_argument("--no-shrink", action="store_true", help="show whole programs instead of the shortest ones")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: %(default)s)")
    options = parser.parse_args(argv)
    if options.seed is not None and options.count is None and options.minutes is None:
        options.count = 1
        print(program_of(options.seed, dying=options.dying).text, flush=True)
    first = options.seed if options.seed is not None else int(time.time())
    summary = _play(first, options)
    kinds = [] if options.no_shrink else list(summary.first)
    with ProcessPoolExecutor(options.jobs) as pool:
        found = pool.map(shortest, (summary.first[kind].program for kind in kinds), kinds)
        print(in_words(summary, dict(zip(kinds, found, strict=True))))
    return 1 if summary.kinds else 0


def _play(first: int, options: argparse.Namespace) -> Summary:
    minutes = options.minutes if options.minutes is not None else (1.0 if options.count is None else float("inf"))
    end = time.monotonic() + 60 * minutes
    left = options.count if options.count is not None else sys.maxsize
    summary = Summary()
    print(f"from seed {first}", flush=True)
    with ProcessPoolExecutor(options.jobs) as pool:
        running = set()
        for number in count():
            dying = options.dying or (number % _DYING_SHARE == _DYING_SHARE - 1 and options.count is None)
            while len(running) >= options.jobs or (running and (left <= 0 or time.monotonic() > end)):
                done = next((future for future in running if future.done()), None)
                if done is None:
                    time.sleep(0.05)
                    continue
                running.discard(done)
                summary.merge(done.result())
                print(f"{summary.histories} histories, {sum(summary.kinds.values())} broken", flush=True)
            if left <= 0 or time.monotonic() > end:
                break
            length = min(CHUNK, left)
            running.add(pool.submit(chunk, first, length, dying))
            first += length
            left -= length
    return summary


if __name__ == "__main__":
    sys.exit(main())
