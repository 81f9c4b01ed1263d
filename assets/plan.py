"""The plan of a scale (paper 2.2.1): what it would take, before anything of it is made. No part of the graph's run."""

from modeling.planning.recipes import PlanRecipe
from orchestration import plans
from orchestration.stage import PLANNED, Stage


def _plan(settings) -> PlanRecipe:
    return plans.recipe(settings.name, settings.scale)


scale_plan = Stage(
    "scale_plan", "modeling.planning.stage", "plan", PLANNED, _plan, "2.2.1, Table 2",
    "A dry run: parameters, memory by part, FLOPs, hours, cost and carbon of every stage. It needs no data and no GPU.",
)  # fmt: skip

STAGES = [scale_plan]
