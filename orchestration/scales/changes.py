"""Changes that one line of a scale makes in many recipes at once: every fine-tuning, every round, every answer."""

from dataclasses import replace
from typing import Any

from modeling.core.recipes import FinetuneRecipe, GhostEvaluationRecipe, SamplingRecipe
from modeling.rlhf.recipes import RewardRecipe, RoundRecipe
from orchestration.scales.recipe import Scale


def finetuning(scale: Scale, **changes: Any) -> Scale:
    """The same change to every fine-tuning of a scale: SFT, the rounds' policies, distillation."""

    def changed(recipe: FinetuneRecipe) -> FinetuneRecipe:
        optimizer = replace(recipe.optimizer, **{k: v for k, v in changes.items() if hasattr(recipe.optimizer, k)})
        return replace(recipe, optimizer=optimizer, **{k: v for k, v in changes.items() if hasattr(recipe, k)})

    return replace(
        scale,
        sft=changed(scale.sft),
        rounds=tuple(replace(r, policy=changed(r.policy)) for r in scale.rounds),
        distillation=replace(scale.distillation, finetune=changed(scale.distillation.finetune)),
    )


def changed(recipe: Any, changes: dict[str, Any]) -> Any:
    """A recipe with other values; a dict changes a nested recipe."""
    return replace(
        recipe, **{k: changed(getattr(recipe, k), v) if isinstance(v, dict) else v for k, v in changes.items()}
    )


def each_round(
    scale: Scale,
    preferences: dict,
    reward: dict,
    rejection: dict,
    policy: dict,
    own_shares: dict[str, float] | None = None,
    helpfulness: dict | None = None,
) -> Scale:
    """The same changes to the recipes of every round: `reward` to both reward models, `helpfulness` to that one alone.

    `own_shares`: for "helpfulness" and "safety", the share of that reward model's pairs that is of its own kind.
    """

    def rewarded(recipe: RewardRecipe) -> RewardRecipe:
        return changed(recipe, {"own_share": (own_shares or {}).get(recipe.kind, recipe.own_share), **reward})

    return replace(scale, rounds=tuple(
        RoundRecipe(
            preferences=changed(r.preferences, preferences),
            helpfulness=changed(rewarded(r.helpfulness), helpfulness or {}),
            safety=rewarded(r.safety),
            rejection=changed(r.rejection, rejection),
            policy=changed(r.policy, policy),
        )
        for r in scale.rounds
    ))  # fmt: skip


def selecting(scale: Scale, prompts: int, **sampling: Any) -> Scale:
    """The same model selection after every round and after distillation."""
    changes = {"selection_prompts": prompts, "selection_sampling": sampling}
    return replace(
        scale,
        rounds=tuple(replace(r, policy=changed(r.policy, changes)) for r in scale.rounds),
        distillation=changed(scale.distillation, {"finetune": changes}),
    )


def ghost_evaluation(
    scale: Scale, max_new_tokens: int, lengths: tuple[tuple[int, int], ...], control_dialogues: int
) -> GhostEvaluationRecipe:
    recipe = scale.ghost_evaluation
    sampling = replace(recipe.sampling, max_new_tokens=max_new_tokens)
    return replace(recipe, sampling=sampling, lengths=lengths, control_dialogues=control_dialogues)


def answers(scale: Scale, max_new_tokens: int) -> Scale:
    """Bounds the answers that are sampled anywhere in the scale."""

    def short(recipe: SamplingRecipe) -> SamplingRecipe:
        return replace(recipe, max_new_tokens=max_new_tokens)

    selected = {"selection_sampling": {"max_new_tokens": max_new_tokens}}
    rounds = tuple(
        replace(
            r,
            preferences=replace(
                r.preferences, sampling_a=short(r.preferences.sampling_a), sampling_b=short(r.preferences.sampling_b)
            ),
            rejection=replace(r.rejection, sampling=short(r.rejection.sampling)),
            policy=changed(r.policy, selected),
        )
        for r in scale.rounds
    )
    return replace(
        scale,
        rounds=rounds,
        own_answers=replace(scale.own_answers, sampling=short(scale.own_answers.sampling)),
        ppo=replace(scale.ppo, sampling=short(scale.ppo.sampling)),
        ghost=replace(scale.ghost, sampling=short(scale.ghost.sampling)),
        distillation=changed(
            scale.distillation, {"sampling": {"max_new_tokens": max_new_tokens}, "finetune": selected}
        ),
        evaluation=replace(scale.evaluation, sampling=short(scale.evaluation.sampling)),
    )
