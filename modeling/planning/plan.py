"""The plan of a scale: sizes, memory, and the work and cost of every stage, without weights and without data."""

from dataclasses import asdict, dataclass

from modeling.core.recipes import AdoptRecipe
from modeling.planning.alignment import Alignment
from modeling.planning.arithmetic import parameters, training_flops
from modeling.planning.cost import Cost, cost
from modeling.planning.devices import device
from modeling.planning.memory import Memory, micro_batch, training_memory
from modeling.planning.published import TABLE_2, Row, mfu
from modeling.planning.recipes import PlanRecipe
from modeling.planning.work import Model, Work, total

DEVICE_COUNTS = (8, 64, 512)
PRETRAINING = "base_model"


@dataclass(frozen=True)
class Fit:
    """Memory of pretraining on so many devices."""

    devices: int
    sequences: int  # on a device at once
    recomputed: Memory  # activations of a layer are computed again in the backward pass
    kept: Memory

    def figures(self) -> dict:
        return {
            "devices": self.devices,
            "sequences": self.sequences,
            "recomputed": asdict(self.recomputed) | {"total": self.recomputed.total},
            "kept": asdict(self.kept) | {"total": self.kept.total},
        }


@dataclass(frozen=True)
class Plan:
    recipe: PlanRecipe
    parameters: dict[str, int]  # by part
    flops_per_token: float
    works: dict[str, Work]  # asset → its work; pretraining first
    costs: dict[str, Cost]
    fits: tuple[Fit, ...]

    @property
    def count(self) -> int:
        return sum(self.parameters.values())

    @property
    def tokens(self) -> int:
        return self.recipe.base.batch_tokens * self.recipe.base.steps

    @property
    def published(self) -> Row | None:
        """The paper's row of this model, if it has one."""
        return TABLE_2.get(self.recipe.scale)

    @property
    def published_mfu(self) -> float | None:
        """The MFU on A100 that the paper's GPU hours imply."""
        return mfu(self.published, self.flops_per_token, device("A100").flops) if self.published else None

    @property
    def alignment(self) -> Cost:
        """Everything after pretraining together."""
        later = total(work for name, work in self.works.items() if name != PRETRAINING)
        return cost(later, self.recipe.base.model, self.count, self.recipe.assumptions)


def plan(recipe: PlanRecipe) -> Plan:
    """Returns the plan of a scale.

    Raises ValueError for an adopted checkpoint, whose shape no recipe holds, and for impossible assumptions.
    """
    base, assumed = recipe.base, recipe.assumptions
    if not 0 < assumed.mfu <= 1 or not 0 < assumed.bandwidth_share <= 1 or assumed.devices < 1:
        raise ValueError("MFU and the share of the bandwidth must be above 0 and at most 1, and devices at least 1")
    if isinstance(base.model, AdoptRecipe):
        raise ValueError(
            f"{recipe.scale} starts from the checkpoint {base.model.source}, whose shape is in no recipe: "
            "the records of a run say what it took"
        )
    sizes = parameters(base.model)
    pretraining = Model(base.model).train(base.batch_tokens * base.steps, base.model.context, base.steps)
    works = {PRETRAINING: pretraining} | Alignment(base.model, recipe.alignment, assumed).stages()
    count = sum(sizes.values())
    costs = {name: cost(work, base.model, count, assumed) for name, work in works.items()}
    flops = training_flops(base.model, base.model.context)
    return Plan(recipe, sizes, flops, works, costs, tuple(_fits(recipe)))


def _fits(recipe: PlanRecipe) -> list[Fit]:
    base = recipe.base
    sequences = base.batch_tokens // base.model.context
    counts = sorted({*DEVICE_COUNTS, recipe.assumptions.devices})
    found = []
    for devices in (count for count in counts if not sequences % count):
        at_once = micro_batch(sequences // devices, base.model.context)
        memories = (training_memory(base.model, devices, at_once, recompute) for recompute in (True, False))
        found.append(Fit(devices, at_once, *memories))
    return found
