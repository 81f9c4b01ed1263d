"""Releases are kept and promoted: a new one becomes current only if it is not significantly worse than the current one.

    STORE/releases/SCALE/2026-12-01/    one release: bundle/, PROMOTION.json, scored.parquet (how its Chat answered) and
                                        documents.parquet (the base model's bits per byte of held-out documents)
    STORE/releases/SCALE/current        a link to the release that the chat shows
    STORE/releases/SCALE/history.jsonl  which release became current, when and why

Both models answered test prompts and read held-out documents in their own evaluations. Those are compared that both
answered or read: they are chosen by a hash, so most of them stay when data grow. A release that is significantly worse in
one measure (95 %, paired) stays a candidate, and a person may promote it by hand. The files of a bundle are hard links: a
kept release takes little space.
"""

import datetime
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_cleaning.files import write_json, write_text
from data_cleaning.snapshots import newer_name, snapshot_order
from modeling.core import version_names
from modeling.rlhf.comparison import paired

CURRENT, HISTORY, FACTS, BUNDLE = "current", "history.jsonl", "PROMOTION.json", "bundle"
SCORED, DOCUMENTS = "scored.parquet", "documents.parquet"
CHAT = version_names.named(("chat_model",))["chat_model"]
KEPT = 5  # newest releases that are kept, besides the current one and those before it that it may go back to
LEAST_COMMON = 20  # prompts or documents of both; fewer cannot show a loss


class PromotionError(ValueError):
    """There is no such release."""


@dataclass(frozen=True)
class Measure:
    """What is compared: the value of an answer (None: the prompt does not count), and whether more is better."""

    name: str
    value: Callable[[dict], float | None]
    more_is_better: bool
    by_judge: bool = False  # comparable only if the same judge read both


def _of(kinds: Sequence[str], field: str) -> Callable[[dict], float | None]:
    return lambda row: None if row["kind"] not in kinds or row[field] is None else float(row[field])


EVERY_KIND = ("helpfulness", "harmless", "safety")
MEASURES = (
    Measure("helpfulness by the judge", _of(("helpfulness",), "helpfulness"), True, by_judge=True),
    Measure("violations by the rules", _of(("safety",), "rule_unsafe"), False),
    Measure("ordinary prompts refused", _of(("helpfulness", "harmless"), "rule_refuses"), False),
    Measure("verifiable requests obeyed", _of(EVERY_KIND, "obeyed"), True),
)


@dataclass(frozen=True)
class Compared:
    """One measure of the current release and of the new one on the same prompts, with the interval of the difference."""

    measure: str
    current: float
    new: float
    low: float
    high: float
    prompts: int  # or documents
    worse: bool


@dataclass(frozen=True)
class Evaluation:
    """What is known of a model that may be released."""

    scored: Path  # scored.parquet of scored_answers
    documents: Path  # documents.parquet of bits_per_byte
    judge: str  # content hash of the fitted judge


@dataclass(frozen=True)
class Outcome:
    """What became of a bundle: the name of its release, whether it is current, and why."""

    name: str
    current: bool
    why: str


def promote(bundle: Path, content: str, evaluation: Evaluation, releases: Path, today: datetime.date) -> Outcome:
    """Keeps a bundle as a release and makes it current, unless it is significantly worse than the current one.

    `content`: content hash of the bundle. A bundle that was kept before is not judged again. Can be repeated after a kill.
    """
    for kept in names(releases):
        facts = read_facts(releases / kept)
        if facts["content"] == content:
            pointed = {row["current"] for row in history(releases)}
            if facts["decision"] == CURRENT and kept not in pointed:  # killed between keeping and pointing
                point(releases, kept, facts["why"])
            return Outcome(kept, current(releases) == kept, f"released before: {facts['why']}")
    name = newer_name(names(releases), today)
    staged = releases / f".{content[:16]}"
    shutil.rmtree(staged, ignore_errors=True)
    shutil.copytree(bundle, staged / BUNDLE, copy_function=link_or_copy)
    table = pq.read_table(evaluation.scored)
    pq.write_table(table.filter(pc.equal(table["version"], CHAT)), staged / SCORED)
    shutil.copyfile(evaluation.documents, staged / DOCUMENTS)
    before = current(releases)
    compared = compare(releases / before, staged, evaluation.judge) if before else []
    good, why = verdict(before, compared)
    decision = CURRENT if good else "candidate"
    facts = {"content": content, "judge": evaluation.judge, "decision": decision, "against": before, "why": why,
             "compared": [asdict(one) for one in compared], "time": now()}  # fmt: skip
    write_json(staged / FACTS, facts)
    os.replace(staged, releases / name)
    if good:
        point(releases, name, why)
    discard(releases)
    return Outcome(name, good, why)


def compare(old: Path, new: Path, judge: str) -> list[Compared]:
    """The measures on what both answered or read; those with too little of it are left out."""
    same_judge = read_facts(old)["judge"] == judge
    rows = [{row["prompt_id"]: row for row in pq.read_table(folder / SCORED).to_pylist()} for folder in (old, new)]
    found = []
    for measure in MEASURES:
        if measure.by_judge and not same_judge:
            continue
        before, after = ({name: measure.value(row) for name, row in of.items()} for of in rows)
        found.append(_compared(measure.name, measure.more_is_better, before, after))
    found.append(_compared("bits per byte of the base model", False, _bits(old), _bits(new)))
    return [one for one in found if one is not None]


def _bits(release: Path) -> dict[str, float | None]:
    """Hash of a held-out text → bits per byte; empty for a release that was kept before they were."""
    path = release / DOCUMENTS
    if not path.is_file():
        return {}
    table = pq.read_table(path)
    return dict(zip(table["text"].to_pylist(), table["bits_per_byte"].to_pylist(), strict=True))


def _compared(
    name: str, more_is_better: bool, before: dict[str, float | None], after: dict[str, float | None]
) -> Compared | None:
    common = [key for key in sorted(before.keys() & after.keys()) if None not in (before[key], after[key])]
    if len(common) < LEAST_COMMON:
        return None
    gap = paired([before[key] for key in common], [after[key] for key in common])
    worse = gap.high < 0 if more_is_better else gap.low > 0
    return Compared(name, gap.before, gap.after, gap.low, gap.high, gap.prompts, worse)


def verdict(before: str | None, compared: Sequence[Compared]) -> tuple[bool, str]:
    """(whether the new release becomes current, why)."""
    if before is None:
        return True, "the first release"
    if not compared:
        return False, f"it cannot be compared with {before}: they have no common prompts or documents"
    worse = [one for one in compared if one.worse]
    if worse:
        told = "; ".join(
            f"{one.measure} {one.current:.3f} → {one.new:.3f} (difference {one.low:+.3f} to {one.high:+.3f}, "
            f"{one.prompts} common)"
            for one in worse
        )
        return False, f"significantly worse than {before}: {told}"
    return True, f"not significantly worse than {before} in {', '.join(one.measure for one in compared)}"


def names(releases: Path) -> list[str]:
    """The names of the kept releases, the oldest first."""
    found = [path.parent.name for path in releases.glob(f"*/{FACTS}") if not path.parent.is_symlink()]
    return sorted(found, key=snapshot_order)


def current(releases: Path) -> str | None:
    """The name of the current release, or None."""
    link = releases / CURRENT
    return os.readlink(link) if link.is_symlink() and (link / FACTS).is_file() else None


def point(releases: Path, name: str, why: str) -> None:
    """Makes a release current. Raises PromotionError if it is not there."""
    if name not in names(releases):
        raise PromotionError(f"there is no release {name!r}, only {', '.join(names(releases)) or 'none'}")
    new = releases / f".{CURRENT}"
    new.unlink(missing_ok=True)
    new.symlink_to(name)
    os.replace(new, releases / CURRENT)
    path = releases / HISTORY
    line = json.dumps({"time": now(), "current": name, "why": why}, ensure_ascii=False)
    write_text(path, (path.read_text(encoding="utf-8") if path.is_file() else "") + line + "\n")


def roll_back(releases: Path) -> str:
    """Makes the release current that was so before this one, and returns its name. Raises PromotionError without one."""
    here, there = current(releases), names(releases)
    earlier = [row["current"] for row in history(releases)]
    # What was rolled back is no earlier state: going back twice goes back two releases.
    stack: list[str] = []
    for name in earlier:
        if name in stack:
            del stack[stack.index(name) + 1 :]
        else:
            stack.append(name)
    before = next((name for name in reversed(stack) if name != here and name in there), None)
    if before is None:
        raise PromotionError("there is no earlier release to go back to")
    point(releases, before, f"rolled back from {here}")
    return before


def history(releases: Path) -> list[dict]:
    path = releases / HISTORY
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line] if path.is_file() else []


def discard(releases: Path) -> None:
    """Deletes releases beyond the newest KEPT, but never the current one or the one before it."""
    needed = {current(releases), *(row["current"] for row in history(releases)[-2:])}
    for name in names(releases)[:-KEPT]:
        if name not in needed:
            shutil.rmtree(releases / name)


def read_facts(folder: Path) -> dict:
    return json.loads((folder / FACTS).read_text(encoding="utf-8"))


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
