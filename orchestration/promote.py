"""Promotes a finished bundle, or goes back to an earlier release (release/promotion.py).

python -m orchestration.promote laptop              judges the bundle in the store; `make run` does this by itself
python -m orchestration.promote laptop 2026-12-01   makes this release current, whatever was measured
python -m orchestration.promote laptop --rollback   goes back to the release before
"""

import datetime
import sys
from pathlib import Path

from orchestration import records, scales
from orchestration.store import artifact, store
from release import promotion
from release.promotion import Outcome, PromotionError


def releases(scale: str) -> Path:
    """Returns the folder of a scale's releases."""
    return store() / "releases" / scale


def promote(scale: str) -> Outcome | None:
    """Judges the scale's bundle against the current release. Returns None if there is no bundle with its evaluation."""
    keys = ("bundle", "scored_answers", "bits_per_byte", "fitted_judge")
    made = {key: records.read(artifact(key, scale)) for key in keys}
    if None in made.values():
        return None
    evaluation = promotion.Evaluation(
        artifact("scored_answers", scale) / promotion.SCORED,
        artifact("bits_per_byte", scale) / promotion.DOCUMENTS,
        made["fitted_judge"]["content"],
    )
    return promotion.promote(
        artifact("bundle", scale), made["bundle"]["content"], evaluation, releases(scale), datetime.date.today()
    )


def said(scale: str, outcome: Outcome) -> str:
    """Returns one line on what became of a bundle, and what a person can do about a candidate."""
    if outcome.current:
        return f"release {outcome.name} of {scale} is current: {outcome.why}"
    return (
        f"release {outcome.name} of {scale} stays a candidate: {outcome.why}. To make it current all the same: "
        f"make promote SCALE={scale} RELEASE={outcome.name}"
    )


def main() -> int:
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in scales.SCALES:
        print(__doc__, file=sys.stderr)
        return 2
    scale, what = sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else ""
    try:
        if what == "--rollback":
            print(f"release {promotion.roll_back(releases(scale))} of {scale} is current")
        elif what:
            promotion.point(releases(scale), what, "promoted by hand")
            print(f"release {what} of {scale} is current")
        else:
            outcome = promote(scale)
            print(said(scale, outcome) if outcome else f"{scale} has no bundle yet: make run SCALE={scale}")
    except PromotionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
