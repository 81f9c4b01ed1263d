"""The recipe of a plan: what a scale would train and sample, and the assumptions that turn this into hours and money.

Values of the assumptions are in orchestration/plans.py.
"""

from dataclasses import dataclass

from modeling.core.recipes import (
    DemonstrationsRecipe,
    EvaluationRecipe,
    FinetuneRecipe,
    GhostEvaluationRecipe,
    PretrainRecipe,
    PromptsRecipe,
)
from modeling.rlhf.recipes import GhostRecipe, OpenPreferencesRecipe, PpoRecipe, RoundRecipe
from modeling.safety.recipes import DistillationRecipe


@dataclass(frozen=True)
class Assumptions:
    """What a recipe does not say. Each value is an assumption until somebody has measured it."""

    device: str  # a name in modeling/planning/devices.py
    devices: int  # that train together
    mfu: float  # share of the device's peak FLOP/s in training and in reading, by the count of arithmetic.py
    bandwidth_share: float  # share of the device's memory bandwidth in generation
    dollars_per_hour: float  # of one device
    dialogue_tokens: int  # of a training example with its answer; Table 6: 798.5
    answer_tokens: int  # of an answer, at most the recipe's max_new_tokens; Table 6: 234.1


@dataclass(frozen=True)
class AlignmentRecipe:
    """The recipes of the alignment half, as a scale holds them."""

    demonstrations: DemonstrationsRecipe
    prompts: PromptsRecipe
    sft: FinetuneRecipe
    open_preferences: OpenPreferencesRecipe
    rounds: tuple[RoundRecipe, ...]
    ghost: GhostRecipe
    ppo: PpoRecipe
    distillation: DistillationRecipe
    evaluation: EvaluationRecipe
    ghost_evaluation: GhostEvaluationRecipe


@dataclass(frozen=True)
class PlanRecipe:
    scale: str  # its name: the paper's hours of this model stand beside the plan's, if there are any
    base: PretrainRecipe  # of a model with a shape, not of an adopted checkpoint
    alignment: AlignmentRecipe
    assumptions: Assumptions
