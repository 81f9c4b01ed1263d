"""The paper's ablations at CPU scale: small trainings on a finished store, their records, and docs/ablations.md.

    python -m benchmarks.ablations laptop                                   # all, seeds 1, 2 and 3
    python -m benchmarks.ablations laptop --only attention --seeds 1,2,3

Records and data lie in STORE/ablations/SCALE. Stopped at any moment, the same command continues.
"""

import argparse
import os
import sys
from pathlib import Path

from benchmarks.ablations.recipe import NAMES, two_cores
from orchestration.launchers import prepare_environment
from orchestration.scales import SCALES
from orchestration.store import CHECKOUT

SEEDS = (1, 2, 3)
PAGE = CHECKOUT / "docs" / "ablations.md"


def names(text: str) -> list[str]:
    chosen = text.split(",")
    if unknown := set(chosen) - set(NAMES):
        raise argparse.ArgumentTypeError(f"no ablation {', '.join(sorted(unknown))}: use some of {', '.join(NAMES)}")
    return [name for name in NAMES if name in chosen]


def seeds(text: str) -> list[int]:
    try:
        return sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: give whole numbers, for example 1,2,3") from None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ablations", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "scale",
        choices=list(SCALES),
        metavar="SCALE",
        help="whose finished store the trainings read: laptop or scratch",
    )
    parser.add_argument("--only", type=names, default=list(NAMES), metavar="NAME,…", help=", ".join(NAMES))
    parser.add_argument("--seeds", type=seeds, default=list(SEEDS), metavar="N,…", help="default: 1,2,3")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE", help="default: docs/ablations.md")
    given = parser.parse_args(arguments)
    # Here, because they load torch, which reads the environment.
    from benchmarks.ablations import job
    from benchmarks.ablations.data import MissingDataError
    from release.results import MarkerError

    try:
        job.run(two_cores(), given.scale, given.only, given.seeds, given.page)
    except (MissingDataError, MarkerError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped: the same command continues", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    if prepare_environment():
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.ablations", *sys.argv[1:]])
    sys.exit(main())
