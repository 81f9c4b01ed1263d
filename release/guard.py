"""An optional guard: a safety reward model judges each message and each whole answer before a person reads the answer.

CRIA_GUARD is its threshold: a probability of being safe below which it withholds. Unset, there is no guard. With it,
nothing is answered without a judgement: where there is no safety reward model, there are no answers. It is that of the
last round in the store, or, of a release alone, in the folder beside it. Answers are judged whole, because the model was
trained on whole answers, so none of them streams.

A message alone is judged with the answer COMPLIES after it, because the model reads its score at the end of an answer.
"""

import json
import math
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_cleaning.store_layout import RECORD
from modeling.core import dialog
from modeling.rlhf import scoring
from modeling.rlhf.pairs import KINDS
from release.bundle import BundleError
from release.reward_models import last_reward_models

SETTING = "CRIA_GUARD"
COMPLIES = "Sure, here is what you asked for."
MESSAGE, ANSWER = "message", "answer"
LINES = {
    MESSAGE: "The guard did not let this message through.",
    ANSWER: "The guard withheld this answer.",
}
NO_MODEL = (
    "the guard is on (CRIA_GUARD), and there is no safety reward model: wait for a round of RLHF, serve a release in the "
    "store that made it, or unset CRIA_GUARD"
)


class GuardError(BundleError):
    """The guard is on and cannot judge; the message is one line and says what to do."""


@dataclass(frozen=True)
class Found:
    """One kind of figure on held-out answers, as in accuracy.json of a reward model."""

    threshold: float
    recall: dict | None  # modeling.rlhf.reward_accuracy.Share; None: there were no unsafe answers
    precision: dict | None  # None: it flagged none


@dataclass(frozen=True)
class Source:
    """The model that guards, and how well it finds unsafe answers among held-out ones."""

    folder: Path
    round: int
    content: str
    threshold: float
    found: tuple[Found, ...]  # at every threshold that its stage measured

    @property
    def key(self) -> tuple[Path, str]:
        """What it is among the loaded models (release/loaded_models.py)."""
        return self.folder, self.content


@dataclass(frozen=True)
class Verdict:
    """What the guard said of a message or an answer."""

    about: str  # MESSAGE or ANSWER
    probability: float  # of being safe
    threshold: float

    @property
    def withholds(self) -> bool:
        return not self.probability >= self.threshold  # so does a score that is no number

    @property
    def line(self) -> str:
        """What people read in the place of the answer."""
        return LINES[self.about]

    def __str__(self) -> str:
        what = "withheld" if self.withholds else "passed"
        return f"guard: {what}; {self.about} safe {self.probability:.3f}, threshold {self.threshold:g}"

    def as_json(self) -> dict:
        return {"withheld": self.withholds, "judged": self.about, "safe": round(self.probability, 4),
                "threshold": self.threshold}  # fmt: skip


class Judge:
    """A loaded safety reward model with its threshold. Judges one text at a time."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.model, self.tokenizer = scoring.load(source.folder)
        self._lock = threading.Lock()

    def message(self, messages: Sequence[dict]) -> Verdict:
        """Judges the message that ends a dialogue."""
        return self._verdict(MESSAGE, messages, COMPLIES)

    def answer(self, messages: Sequence[dict], text: str) -> Verdict:
        """Judges an answer to a dialogue."""
        return self._verdict(ANSWER, messages, text)

    def _verdict(self, about: str, messages: Sequence[dict], text: str) -> Verdict:
        said = [message for message in messages if message["role"] != "system"]  # as in the training of the model
        with self._lock:
            (score,) = scoring.score(self.model, self.tokenizer, [dialog.with_answer(said, text)])
        return Verdict(about, scoring.sigmoid([score]).item(), self.source.threshold)


def threshold() -> float | None:
    """The threshold that the environment states, None without a guard. Raises ValueError if it is no probability."""
    text = os.environ.get(SETTING, "")
    if text == "":
        return None
    try:
        stated = float(text)
    except ValueError:
        stated = math.nan
    if not 0 < stated < 1:
        raise ValueError(
            f"{SETTING} is {text!r}: give the probability of being safe below which the guard withholds an answer, "
            f"above 0 and below 1, for example {scoring.SAFETY_THRESHOLD}"
        )
    return stated


def source(scale: Path | None, stated: float) -> Source:
    """The guard of a scale's folder in a store. Raises GuardError if that has no safety reward model."""
    models = last_reward_models(scale)
    if models is None:
        raise GuardError(NO_MODEL)
    folder = models.folders[KINDS.index("safety")]
    try:
        content = json.loads((folder / RECORD).read_text(encoding="utf-8"))["content"]
        report = json.loads((folder / "accuracy.json").read_text(encoding="utf-8"))["safety"]
    except FileNotFoundError as error:  # replaced while it was being read
        raise GuardError(NO_MODEL) from error
    return Source(folder, models.round, content, stated, tuple(_figures(report)))


def _figures(report: dict) -> list[Found]:
    """Of the part of accuracy.json on safety pairs, in the order of the thresholds."""
    prefix = "unsafe_at_"
    known = [(float(name.removeprefix(prefix)), said) for name, said in report.items() if name.startswith(prefix)]
    return [
        Found(at, *(said[name] if said[name]["trials"] else None for name in ("recall", "precision")))
        for at, said in sorted(known, key=lambda pair: pair[0])
    ]


def explained(guard: Source) -> tuple[str, str]:
    """What the page says of the guard: (one line, what it does and how far to trust it)."""
    does = (
        f"The safety reward model of round {guard.round} reads each message, and each answer once it is whole, and withholds "
        f"what it gives less than {guard.threshold:g} of being safe. Answers therefore do not stream."
    )
    here = [one for one in guard.found if one.threshold == guard.threshold]
    told = [sentence(one) for one in here or guard.found if one.recall]
    if not told:
        return "A guard is on. Do not rely on it.", f"{does} There is no figure on how many unsafe answers it finds."
    if here:
        head = f"It finds {here[0].recall['value']:.0%} of unsafe answers."
        told[0] = told[0].capitalize()
    else:
        head = f"How much it finds at {guard.threshold:g} is not measured."
    limits = "How well it judges messages is not measured."
    return f"A guard is on. {head} Do not rely on it.", f"{does} {' '.join(told)} {limits}"


def sentence(found: Found) -> str:
    recall, precision = found.recall, found.precision
    told = (
        f"at {found.threshold:g} it finds {recall['value']:.0%} of the {recall['trials']} unsafe answers in held-out pairs "
        f"(95 % interval {recall['low']:.0%} to {recall['high']:.0%})"
    )
    if precision:
        told += f", and {precision['value']:.0%} of the answers that it withholds there are unsafe"
    return f"{told}."


def log(verdict: Verdict, version: str) -> None:
    """Writes to the server's output that the guard acted, without any text of the dialogue."""
    print(f"{verdict} ({version})", file=sys.stderr, flush=True)
