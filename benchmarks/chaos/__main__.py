"""Kill, cut and overload real processes: `python benchmarks/chaos RUN [--seed N]`.

    storm       500 uploads while every part is killed with -9; also a test
    long-storm  10,000 uploads and 200 kills
    rush        1,000 uploads in the last minute before a close
    readers     500 readers of a board beside uploads
    resources   a full disk, also in a rescore, a full Redis, few file descriptors
    clocks      the wall clock is set forward and back, and passes midnight
    repeat      every file scored three times

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
import clock  # noqa: E402  they lie beside this file
import crowd  # noqa: E402
import full  # noqa: E402
import repeat  # noqa: E402
import storm  # noqa: E402

STORMS = {"storm": storm.SMALL, "long-storm": storm.FULL}
OTHERS = ("rush", "readers", "resources", "clocks", "repeat")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", help=f"{', '.join((*STORMS, *OTHERS))}; default: storm"
    )
    parser.add_argument(
        "--seed", type=int, default=None, help="decides what is killed when; default: a new one"
    )
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument(
        "--own-metric",
        action="store_true",
        help="storms: an organiser's code scores; its sandbox is killed too",
    )
    parser.add_argument("--smoke", action="store_true", help="tiny, only to see that it runs")
    parser.add_argument("--submissions", type=int, default=None, help="so many instead of the run's own")
    parser.add_argument("--kills", type=int, default=None, help="so many instead")
    parser.add_argument("--seconds", type=float, default=None, help="spread over so long instead")
    parser.add_argument("--log", type=Path, default=None, help="a file to keep the server's log in")
    asked = parser.parse_args()
    unknown = sorted(set(asked.runs) - {*STORMS, *OTHERS})
    if unknown:
        parser.error(f"there is no run {', '.join(unknown)}; choose from {', '.join((*STORMS, *OTHERS))}")
    seed = secrets.randbelow(1_000_000) if asked.seed is None else asked.seed
    broken: list[str] = []
    if asked.smoke and not asked.runs:
        print("Nothing is run: storm is one of the tests, at its own size (tests/storm/test_kill_storm.py).")
        return 0
    for name in asked.runs or ["storm"]:
        broken += _storm(name, asked, seed) if name in STORMS else _other(name, asked, seed)
        repeat = f"python benchmarks/chaos {name} --seed {seed} --database {asked.database}"
        for option in ("submissions", "kills", "seconds"):
            if (value := getattr(asked, option)) is not None:
                repeat += f" --{option} {value:g}"
        repeat += " --own-metric" if asked.own_metric else ""
        print(f"\nSeed {seed}. To repeat: {repeat}{' --smoke' if asked.smoke else ''}", flush=True)
    for what in broken:
        print(f"BROKEN: {what}", flush=True)
    return 1 if broken else 0


def _storm(name: str, asked: argparse.Namespace, seed: int) -> list[str]:
    size = storm.TINY if asked.smoke else STORMS[name]
    size = replace(
        size,
        submissions=asked.submissions or size.submissions,
        kills=asked.kills or size.kills,
        seconds=asked.seconds or size.seconds,
    )
    return storm.run(
        name, size, seed=seed, database=asked.database, own_metric=asked.own_metric, keep=asked.log
    )


def _other(name: str, asked: argparse.Namespace, seed: int) -> list[str]:
    if name == "rush":
        tiny = crowd.Stampede(teams=10, uploads=50, seconds=8)
        return crowd.stampede(tiny if asked.smoke else crowd.Stampede(), seed=seed, database=asked.database)
    if name == "readers":
        few = crowd.Readers(readers=20, uploads_a_second=3, seconds=5, teams=3)
        return crowd.read_the_board(
            few if asked.smoke else crowd.Readers(), seed=seed, database=asked.database
        )
    if name == "resources":
        starved = full.descriptors(uploads=1 if asked.smoke else 4)
        return [*full.disk(database=asked.database), *full.redis(uploads=10 if asked.smoke else 60), *starved]
    if name == "clocks":
        jumps = clock.run(uploads=5 if asked.smoke else 20, database=asked.database)
        # The clock of a PostgreSQL cannot be set.
        return jumps if asked.database == "postgres" else [*jumps, *clock.midnight()]
    return repeat.run(asked.submissions or (20 if asked.smoke else 1_000), database=asked.database)


if __name__ == "__main__":
    sys.exit(main())
