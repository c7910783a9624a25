"""Everything measured about integrity: `python benchmarks/integrity [--smoke] [PART ...]`.

Each part prints its figures beside their aims as soon as it is done. Seeds are fixed; the whole takes
less than 15 minutes on two cores, of which it uses one.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from importlib import import_module
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
sys.path.insert(0, str(Path(__file__).parent))

PARTS = ("fixtures", "oracle", "boosting", "boards", "copies", "probing", "cost", "audit")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}; default: all")
    parser.add_argument("--smoke", action="store_true", help="small sizes, only to see that it runs")
    asked = parser.parse_args()
    unknown = sorted(set(asked.parts) - set(PARTS))
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}; choose from {', '.join(PARTS)}")
    began, missed = time.perf_counter(), 0
    for name in asked.parts or PARTS:
        part = import_module(name)
        started = time.perf_counter()
        print(f"\n{part.TITLE}")
        figures = part.figures(smoke=asked.smoke)
        width = max(len(figure.name) for figure in figures)
        for figure in figures:
            mark = {None: "", True: "met", False: "MISSED"}[figure.met]
            missed += figure.met is False
            aim = f"aim {figure.aim}" if figure.aim else ""
            print(f"  {figure.name:<{width}}  {figure.value:<28}  {aim}  {mark}".rstrip())
        print(f"  ({time.perf_counter() - started:.0f} s)", flush=True)
    print(f"\n{time.perf_counter() - began:.0f} s in all; {missed} aims missed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
