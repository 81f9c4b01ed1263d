"""Supervised fine-tuning (paper 3.1)."""

from assets.corpus import dialogues, embedder
from assets.pretraining import base_model, initial_model, mixture
from orchestration import thresholds
from orchestration.stage import SCALE, Stage


def _finetuning(key, module, recipe, paper, description, **inputs) -> Stage:
    return Stage(key, f"modeling.{module}", "finetuning", SCALE, recipe, paper, description, tuple(inputs.items()))


adversarial_prompts = Stage(
    "adversarial_prompts", "modeling.dialogues.adversarial_prompts", "finetuning", None,
    lambda s: thresholds.adversarial(), "4.2, 4.4",
    "Adversarial prompts grouped by meaning; each group belongs to demonstrations, RLHF or tests.",
    (("dialogues", dialogues), ("embedder", embedder)),
)  # fmt: skip
demonstrations = _finetuning(
    "demonstrations", "dialogues.demonstrations", lambda s: s.demonstrations, "3.1",
    "Prompts with real answers from sources with a stated licence, disjoint by entity from all later prompts.",
    mixture=mixture, dialogues=dialogues, adversarial_prompts=adversarial_prompts,
)  # fmt: skip
synthetic_requests = _finetuning(
    "synthetic_requests", "dialogues.synthetic_requests", lambda s: s.synthetic_requests, "departure",
    "Everyday requests that an adopted checkpoint writes as its user would, split between demonstrations and RLHF.",
    initial_model=initial_model, dialogues=dialogues, adversarial_prompts=adversarial_prompts,
)  # fmt: skip
prompts = _finetuning(
    "prompts", "dialogues.prompts", lambda s: s.prompts, "3.2, 4.2",
    "Helpfulness, adversarial and harmless prompts for RLHF and for tests, disjoint from the demonstrations.",
    mixture=mixture, dialogues=dialogues, adversarial_prompts=adversarial_prompts, synthetic_requests=synthetic_requests,
)  # fmt: skip
open_preferences = _finetuning(
    "open_preferences", "rlhf.open_preferences", lambda s: s.open_preferences, "3.2.1, Table 6",
    "Preference pairs that others have published, for both reward models beside the rounds' own.",
    dialogues=dialogues, adversarial_prompts=adversarial_prompts,
)  # fmt: skip
ratings = _finetuning(
    "ratings", "rlhf.ratings.stage", lambda s: s.with_votes(), "3.2.1",
    "Pairs that people compared in the chat, in complete batches, for both reward models of every round.",
)  # fmt: skip
sft_dialogues = _finetuning(
    "sft_dialogues", "finetuning.sft_dialogues", lambda s: s.own_answers, "3.1",
    "The demonstrations, and an adopted checkpoint's own best answers beside the written ones.",
    initial_model=initial_model, demonstrations=demonstrations, synthetic_requests=synthetic_requests,
)  # fmt: skip
sft_model = _finetuning(
    "sft_model", "finetuning.sft", lambda s: s.sft, "3.1",
    "The base model fine-tuned on demonstrations: packed, loss on answers only.",
    base_model=base_model, demonstrations=sft_dialogues,
)  # fmt: skip

STAGES = [
    adversarial_prompts, demonstrations, synthetic_requests, prompts, open_preferences, ratings, sft_dialogues, sft_model,
]  # fmt: skip
