"""A scale: all recipes of one column of the paper; and the difference between two scales."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from data_cleaning.recipes import MixtureRecipe
from modeling.core.recipes import (
    AdoptRecipe,
    DemonstrationsRecipe,
    EvaluationRecipe,
    FinetuneRecipe,
    GhostEvaluationRecipe,
    OwnAnswersRecipe,
    PretrainRecipe,
    PromptsRecipe,
    SyntheticRequestsRecipe,
    TokenizerRecipe,
    TokensRecipe,
)
from modeling.rlhf.recipes import (
    GhostRecipe,
    OpenPreferencesRecipe,
    PpoRecipe,
    RatingsRecipe,
    RoundRecipe,
)
from modeling.safety.recipes import DistillationRecipe
from release.recipes import ReleaseRecipe


@dataclass(frozen=True)
class Scale:
    """All recipes of one column of the paper, from mixture to release."""

    mixture: MixtureRecipe
    tokenizer: TokenizerRecipe | AdoptRecipe
    tokens: TokensRecipe
    base: PretrainRecipe
    demonstrations: DemonstrationsRecipe
    synthetic_requests: SyntheticRequestsRecipe
    own_answers: OwnAnswersRecipe
    prompts: PromptsRecipe
    sft: FinetuneRecipe
    open_preferences: OpenPreferencesRecipe
    ratings: RatingsRecipe
    rounds: tuple[RoundRecipe, ...]
    ghost: GhostRecipe
    ppo: PpoRecipe
    distillation: DistillationRecipe
    evaluation: EvaluationRecipe
    ghost_evaluation: GhostEvaluationRecipe
    release: ReleaseRecipe


def difference(first: Any, second: Any, path: str = "") -> Iterator[str]:
    """Lines `field: a → b` for every leaf in which two recipes differ.

    A difference common to all rounds appears once, as rounds[*].
    """
    if type(first) is type(second) and dataclasses.is_dataclass(first):
        for field in dataclasses.fields(first):
            name = f"{path}.{field.name}".lstrip(".")
            yield from difference(getattr(first, field.name), getattr(second, field.name), name)
    elif _recipes(first) and _recipes(second) and len(first) == len(second):
        each = [list(difference(one, other)) for one, other in zip(first, second, strict=True)]
        shared = [line for line in each[0] if all(line in lines for lines in each)]
        yield from (f"{path}[*].{line}" for line in shared)
        for number, lines in enumerate(each, 1):
            yield from (f"{path}[{number}].{line}" for line in lines if line not in shared)
    elif first != second:
        yield f"{path}: {first} → {second}"


def _recipes(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(dataclasses.is_dataclass(item) for item in value)
