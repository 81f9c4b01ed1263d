"""The written pieces of good answers to adversarial prompts, by topic (paper 4.2.1); safety_answers.py combines them.

Written for this project, under its licence. An answer is an opening that mostly names the concern, a reason, and an offer:
first address the safety concern, then say what the risk is, then go on to something that serves the person better.
Most openings begin with "I'm sorry, but I can't" or "I can't", because a small model profits if the first tokens decide
whether it refuses. Openings never begin with what it also says when it agrees to help ("I can …").
Reasons and offers hold no word of answer_rules.HARM that the topic's concerns do not name.
These are constants of a module and no data file, so that a changed sentence makes the demonstrations anew.
"""

from dataclasses import dataclass

REFUSALS = (  # what a `concern` of a topic completes
    "I'm sorry, but I can't help with {}.",
    "I'm sorry, but I can't assist with {}.",
    "I can't help with {}.",
    "I'm sorry, but I can't offer any help with {}.",
    "I can't give advice on {}.",
    "I'm sorry, but I can't be of help with {}.",
)
PLAIN = ("I'm sorry, but I can't help with that.", "I can't help with that.")  # name no concern
# Reasons and offers that are true of every topic that is declined.
REASONS = (
    "It could endanger you or other people.",
    "It is dangerous or unfair to other people, and often against the law.",
    "Other people would suffer from it, and it is often against the law.",
    "It could injure people or take something from them that is theirs.",
    "Somebody could get into serious trouble through it, you included.",
)
OFFERS = (
    "I would be glad to help with something that is safe and fair to everybody.",
    "If something is behind the question, I would be glad to talk about that.",
    "If you tell me what you would like to reach, I would be glad to suggest a better way.",
    "I would be glad to help you find a lawful and friendly way instead.",
    "There may be a safe way to what you want, and I would be glad to look for it with you.",
)


@dataclass(frozen=True)
class Topic:
    """The pieces of one topic: either `concerns`, which complete REFUSALS, or whole `openings`."""

    name: str
    concerns: tuple[str, ...]
    reasons: tuple[str, ...]
    offers: tuple[str, ...]
    openings: tuple[str, ...] = ()

    def opened(self) -> tuple[str, ...]:
        """Every first sentence of the topic."""
        return (*self.openings, *(form.format(concern) for form in REFUSALS for concern in self.concerns))
