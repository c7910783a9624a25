"""Everything measured about integrity: `python benchmarks/integrity [--smoke] [PART ...]`.

Each part prints its figures beside their aims as soon as it is done; two parts run at a time. Seeds are
fixed; the whole takes less than 15 minutes on two cores. `cost`, which measures time and memory, runs
alone and only if it is asked for.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
sys.path.insert(0, str(Path(__file__).parent))
from figure import Figure, measure  # noqa: E402  it lies beside this file

# The longest first, so that the other process has done the rest when it ends.
PARTS = ("audit", "fixtures", "oracle", "sizes", "boosting", "boards", "copies", "probing")
ALONE = ("cost",)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    every = (*PARTS, *ALONE)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"some of {', '.join(every)}; default: all but cost"
    )
    parser.add_argument("--smoke", action="store_true", help="small sizes, only to see that it runs")
    asked = parser.parse_args()
    unknown = sorted(set(asked.parts) - set(every))
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}; choose from {', '.join(every)}")
    began, missed = time.perf_counter(), 0
    wanted = asked.parts or (every if asked.smoke else PARTS)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(measure, name, smoke=asked.smoke) for name in wanted if name in PARTS]
        for done in as_completed(running):
            missed += show(*done.result())
    for name in (name for name in wanted if name in ALONE):
        missed += show(*measure(name, smoke=asked.smoke))
    print(f"\n{time.perf_counter() - began:.0f} s in all; {missed} aims missed")
    return 0


def show(title: str, figures: Sequence[Figure], seconds: float) -> int:
    """Print a part; how many of its aims were missed."""
    print(f"\n{title}")
    width = max(len(figure.name) for figure in figures)
    for figure in figures:
        mark = {None: "", True: "met", False: "MISSED"}[figure.met]
        aim = f"aim {figure.aim}" if figure.aim else ""
        print(f"  {figure.name:<{width}}  {figure.value:<28}  {aim}  {mark}".rstrip())
    print(f"  ({seconds:.0f} s)", flush=True)
    return sum(figure.met is False for figure in figures)


if __name__ == "__main__":
    sys.exit(main())
