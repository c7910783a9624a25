"""Kill, cut and stampede real processes: `python benchmarks/chaos C1|C2 [--seed N] [--database sqlite|postgres]`.

Each run prints one table, its seed and the command that repeats it, and ends with 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from dataclasses import replace
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
import storm  # noqa: E402  it lies beside this file

RUNS = {"C1": storm.SMALL, "C2": storm.FULL}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help="C1 (default) or C2")
    parser.add_argument("--seed", type=int, default=None, help="who is killed when; default: a new one")
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--smoke", action="store_true", help="a tiny kill storm, only to see that it runs")
    parser.add_argument("--submissions", type=int, default=None, help="so many instead of the run's own")
    parser.add_argument("--seconds", type=float, default=None, help="spread over so long instead")
    parser.add_argument("--log", type=Path, default=None, help="a file to keep the server's log in")
    asked = parser.parse_args()
    unknown = sorted(set(asked.runs) - set(RUNS))
    if unknown:
        parser.error(f"there is no run {', '.join(unknown)}; choose from {', '.join(RUNS)}")
    seed = secrets.randbelow(1_000_000) if asked.seed is None else asked.seed
    broken: list[str] = []
    for name in asked.runs or ["C1"]:
        size = storm.TINY if asked.smoke else RUNS[name]
        size = replace(
            size, submissions=asked.submissions or size.submissions, seconds=asked.seconds or size.seconds
        )
        broken += storm.run(name, size, seed=seed, database=asked.database, keep=asked.log)
        repeat = f"python benchmarks/chaos {name} --seed {seed} --database {asked.database}"
        for option in ("submissions", "seconds"):
            if (value := getattr(asked, option)) is not None:
                repeat += f" --{option} {value:g}"
        print(f"\nSeed {seed}. To repeat: {repeat}{' --smoke' if asked.smoke else ''}", flush=True)
    for what in broken:
        print(f"BROKEN: {what}", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
