"""Two versions answer one message side by side, without names; a person says which answer is better (paper 3.2.1)."""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from modeling.core.continuous_batching import LineFullError
from modeling.core.sampling import PromptTooLongError
from modeling.rlhf.labels import BETTER, NEGLIGIBLE, SIGNIFICANT, SLIGHT
from modeling.rlhf.ratings.store import Vote
from release import chat
from release.answering import SHOW_EVERY, waiting, waiting_for_memory
from release.loaded_models import Lease, Models

SIDES = ("a", "b")
# What a person can say, in the order of the page: (side, degree) by label.
VERDICTS = {
    "A is significantly better": ("a", SIGNIFICANT),
    "A is better": ("a", BETTER),
    "A is slightly better": ("a", SLIGHT),
    "A is negligibly better, or unsure": ("a", NEGLIGIBLE),
    "B is negligibly better, or unsure": ("b", NEGLIGIBLE),
    "B is slightly better": ("b", SLIGHT),
    "B is better": ("b", BETTER),
    "B is significantly better": ("b", SIGNIFICANT),
}
WITHHELD = "the guard withheld an answer, so there is nothing to vote on"
MOST_REASON = 2000  # characters


@dataclass(frozen=True)
class Named:
    """A version that answered."""

    name: str
    title: str
    content: str


@dataclass(frozen=True)
class Comparison:
    """Two answers to one message, as far as they are generated. The sides are shuffled."""

    scale: str
    messages: Sequence[dict]
    versions: tuple[Named, Named]
    sampling: dict  # by side
    answers: tuple[str, str] = ("", "")
    ended: bool = False
    withheld: bool = False  # the guard took an answer out: there is nothing to vote on
    of: str = ""  # the id of the vote that began it; "": this one does (release/second_opinions.py)

    def vote(self, rater: str, verdict: str, unsafe_a: bool, unsafe_b: bool, reason: str) -> Vote:
        """What the person said. Raises ValueError if there is no verdict, or the answers are not complete."""
        if not self.ended:
            raise ValueError("wait for both answers")
        if self.withheld:
            raise ValueError(WITHHELD)
        if verdict not in VERDICTS:
            raise ValueError("choose which answer is better")
        preferred, degree = VERDICTS[verdict]
        a, b = self.versions
        return Vote(
            rater=rater, scale=self.scale, messages=self.messages, answer_a=self.answers[0], answer_b=self.answers[1],
            version_a=a.name, version_b=b.name, content_a=a.content, content_b=b.content, sampling=self.sampling,
            preferred=preferred, degree=degree, safe_a=not unsafe_a, safe_b=not unsafe_b,
            reason=reason.strip()[:MOST_REASON], comparison=self.of,
        )  # fmt: skip


def compare(
    models: Models, text: str, first: str, second: str, shuffle: random.Random, user: str = ""
) -> Iterator[tuple[Comparison, str]]:
    """Yields (comparison so far, state line), the last with `ended`. Both answers grow token by token together.

    `user`: the name of the login, if there is one. Each version answers at its own best temperature. Raises ValueError
    with a line for the person if there is nothing to compare, and what loading and running a model raise.
    """
    if not text.strip():
        raise ValueError("Write something first.")
    if told := chat.refusal("message", text):
        raise ValueError(told)
    if not first or not second or first == second:
        raise ValueError("Choose two different versions.")
    bundle = models.gallery.now()
    names = [first, second]
    shuffle.shuffle(names)
    versions = tuple(bundle.version(name) for name in names)
    longest = max(bundle.sampling.max_new_tokens, chat.ANSWER_TOKENS)
    settings = [
        chat.Settings(bundle.temperature(name), bundle.sampling.top_p, longest, shuffle.getrandbits(32))
        for name in names
    ]
    messages = [{"role": "user", "content": text}]
    sampling = {side: vars(one) for side, one in zip(SIDES, settings, strict=True)}
    now = Comparison(bundle.scale, messages, tuple(Named(v.name, v.title, v.content) for v in versions), sampling)
    yield now, "Reading with both versions …"
    try:
        with models.shares.one_more(user), models.lease(*names) as lease:
            while not lease.ready(chat.PATIENCE_S):
                yield now, waiting_for_memory(lease.ahead)
            yield from _together(now, lease, settings)
    except PromptTooLongError:
        raise ValueError(f"Too long: these versions read {min(v.context for v in versions)} tokens.") from None
    except LineFullError as error:
        raise ValueError(f"Too many people are asking: {error}. Compare again in a while.") from None


def passes(models: Models, found: Comparison) -> bool:
    """Whether the guard would let an earlier comparison through now. Raises BundleError if it cannot judge."""
    with models.lease() as lease:
        while not lease.ready(chat.PATIENCE_S):
            pass
        judge, messages = lease.judge, list(found.messages)
        said = (
            [] if judge is None else [judge.message(messages), *(judge.answer(messages, one) for one in found.answers)]
        )
    return not any(verdict.withholds for verdict in said)


def _together(now: Comparison, lease: Lease, settings: Sequence[chat.Settings]) -> Iterator[tuple[Comparison, str]]:
    """Yields (comparison so far, state line) while both sides are generated, the last with `ended`."""
    messages = list(now.messages)
    streams = {
        place: chat.guarded(lease.judge, version, messages, chat.stream(one, messages, how))
        for place, (one, how, version) in enumerate(zip(lease.loaded, settings, lease.versions, strict=True))
    }
    withheld = False
    texts, tokens, begun = ["", ""], 0, time.monotonic()
    shown = begun
    try:
        while streams:
            for place, stream in list(streams.items()):
                answer = next(stream, None)
                if answer is None:
                    del streams[place]
                elif answer.waits:
                    yield now, waiting(answer)
                else:
                    texts[place], tokens = answer.text, tokens + 1
                    withheld |= answer.ended == chat.WITHHELD
            at = time.monotonic()
            if streams and at - shown >= SHOW_EVERY:
                shown = at
                now = replace(now, answers=tuple(texts))
                yield now, f"{tokens} tokens · {tokens / max(at - begun, 1e-6):.0f} tokens/s"
    finally:
        for stream in streams.values():
            stream.close()
    told = f"{WITHHELD.capitalize()}." if withheld else "Which answer is better?"
    yield replace(now, answers=tuple(texts), ended=True, withheld=withheld), told
