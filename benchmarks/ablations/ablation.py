"""What one ablation is: settings of which each is trained over several seeds, and the figures that compare them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.ablations.recipe import AblationsRecipe
from modeling.core.recipes import FinetuneRecipe, PretrainRecipe
from modeling.rlhf.recipes import RewardRecipe

Records = dict[str, dict[int, dict]]  # setting → seed → record


@dataclass(frozen=True)
class Place:
    """Where the ablations of a scale's store lie."""

    scale: str
    folder: Path


@dataclass(frozen=True)
class Data:
    """What a training reads."""

    inputs: dict[str, Path]  # of the stage, by role
    content: str  # hash of what they were made from
    mixture: Path  # has the held-out documents
    factual: tuple[str, ...]  # names of the factual sources


@dataclass(frozen=True)
class Figure:
    """One measured figure: its name in the record, and how the page shows it."""

    name: str
    label: str
    decimals: int
    scale: float  # 100 for a share that is shown in per cent
    unit: str
    compared: bool  # whether the page says if the settings differ in it

    def text(self, value: float, sign: str = "") -> str:
        """Returns the value as text; `sign` "+" shows the sign of positive values too."""
        return f"{self.scale * value:{sign},.{self.decimals}f}{self.unit}"


@dataclass(frozen=True)
class Ablation:
    name: str
    title: str
    settings: Callable[[AblationsRecipe], dict[str, Any]]  # name → value; the first one is the baseline
    run: Callable[..., dict]  # a stage's function, or one of the same arguments
    training: Callable[
        [AblationsRecipe, Any], PretrainRecipe | RewardRecipe | FinetuneRecipe
    ]  # of a setting's value, with any seed
    data: Callable[[AblationsRecipe, Place, Any, Any], Data]  # of a setting's value, and the log
    size: str  # name and unit of the metric that says how much was trained on
    measure: Callable[[Path, Data, AblationsRecipe], dict[str, float]]  # of the folder of a trained model
    figures: Callable[[AblationsRecipe], tuple[Figure, ...]]
    paper: tuple[tuple[str, tuple[str, ...]], ...]  # (column, the paper's figure for each setting)
    seen: Callable[[tuple[Figure, ...], Records], str]  # one sentence, computed from the intervals
