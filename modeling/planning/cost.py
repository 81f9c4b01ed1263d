"""GPU hours, days, money and carbon of a stage's work."""

from dataclasses import dataclass

from modeling.core.recipes import ModelRecipe
from modeling.planning import generation
from modeling.planning.devices import device
from modeling.planning.published import tonnes_co2e
from modeling.planning.recipes import Assumptions
from modeling.planning.work import Work


@dataclass(frozen=True)
class Cost:
    gpu_hours: float
    dollars: float
    tonnes_co2e: float
    days: float  # on all devices of the assumptions, if they have no pauses

    @property
    def figures(self) -> dict[str, float]:
        """The values for a JSON file."""
        return {
            "gpu_hours": round(self.gpu_hours, 1),
            "dollars": round(self.dollars),
            "tonnes_co2e": round(self.tonnes_co2e, 3),
            "days": round(self.days, 2),
        }


def cost(work: Work, model: ModelRecipe, weights: int, assumptions: Assumptions) -> Cost:
    """Returns what the work of a model of `weights` parameters costs. Raises ValueError for an unknown device."""
    chip = device(assumptions.device)
    seconds = work.flops / (chip.flops * assumptions.mfu)
    seconds += sum(generation.device_seconds(model, weights, drawn, assumptions) for drawn in work.drawn)
    hours = seconds / 3600
    return Cost(
        hours,
        hours * assumptions.dollars_per_hour,
        tonnes_co2e(hours, chip.watts),
        hours / assumptions.devices / 24,
    )
