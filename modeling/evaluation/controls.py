"""Controls: answers made without a model, which stand in every table beside the versions.

A measure that a control can win says nothing about the versions that it ranks below the control.
"""

from collections.abc import Sequence

CONSTANT, REFUSAL, REFERENCE = "Constant sentence", "Refusal of everything", "Reference answer"
SENTENCE = (
    "There are many good ways to look at this, and the best one depends on what you need, so start with something "
    "simple and see what works for you."
)
NO = (
    "I'm sorry, but I can't help with that, because it could hurt you or other people. If something is worrying you, "
    "please talk to a professional or to someone you trust."
)


def answers(prompts: Sequence[dict]) -> dict[str, list[str | None]]:
    """Returns control → an answer per prompt; the reference answer is None where the prompt has none."""
    return {
        CONSTANT: [SENTENCE] * len(prompts),
        REFUSAL: [NO] * len(prompts),
        REFERENCE: [prompt["reference"] or None for prompt in prompts],
    }
