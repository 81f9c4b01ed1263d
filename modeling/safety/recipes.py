"""The recipe of context distillation (values are in orchestration/scales)."""

from dataclasses import dataclass

from modeling.core.recipes import SamplingRecipe
from modeling.rlhf.recipes import SelectedRecipe


@dataclass(frozen=True)
class DistillationRecipe:
    prompts: int
    sampling: SamplingRecipe
    preprompts: tuple[str, ...]  # Table 39, generic
    templates: tuple[tuple[str, str], ...]  # (risk category, preprompt that says how a good answer looks), A.4.5
    least_gain: float  # least gain in safety score (logits) of a kept answer; the paper: any gain, 0
    least_safety: float  # least safety probability of a kept answer: safer need not mean safe; the paper: 0
    finetune: SelectedRecipe
