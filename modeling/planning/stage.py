"""A dry run of a scale: what it would take, from its recipes alone. It reads no corpus and makes no weights."""

from pathlib import Path
from typing import Any

from modeling.core import reporting
from modeling.planning.plan import PRETRAINING, plan
from modeling.planning.recipes import PlanRecipe
from modeling.planning.report import report


def run(config: PlanRecipe, inputs: dict[str, Path], out: Path, log: Any) -> dict:
    """Write report.md and plan.json: parameters, memory, and the work and cost of every stage. No inputs.

    Raises ValueError for a scale that adopts a checkpoint, and for an unknown device.
    """
    made = plan(config)
    log.info(f"{made.count:,} parameters, {made.costs[PRETRAINING].gpu_hours:,.0f} GPU hours of pretraining")
    stages = {
        name: {"trained": work.trained, "read": work.read, "written": work.written, "steps": work.steps,
               "flops": work.flops, **made.costs[name].figures}
        for name, work in made.works.items()
    }  # fmt: skip
    content = {"parameters": made.parameters, "memory": [fit.figures() for fit in made.fits], "stages": stages}
    reporting.write_json(out / "plan.json", content)
    reporting.write_text(out / "report.md", report(made))
    return {
        "parameters": made.count,
        "flops_per_token": made.flops_per_token,
        "tokens": made.tokens,
        **{f"pretraining_{name}": value for name, value in made.costs[PRETRAINING].figures.items()},
        **{f"alignment_{name}": value for name, value in made.alignment.figures.items()},
    }
