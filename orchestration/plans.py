"""`make plan SCALE=70b`: what a scale would take, from its recipes alone; and the tables of docs/scales.md.

Usage: python -m orchestration.plans SCALE [--device H100] [--devices 512] [--mfu 0.4] [--dollars-per-hour 2]
       python -m orchestration.plans --write docs/scales.md
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from modeling.core.recipes import AdoptRecipe
from modeling.planning.recipes import AlignmentRecipe, Assumptions, PlanRecipe
from orchestration import scales
from orchestration.scales import Scale
from orchestration.store import CHECKOUT

PAPER = ("7b", "13b", "34b", "70b")
# None of these is measured. 40 % MFU is what open code reports for dense models on H100, two dollars a usual price of an
# H100 hour. Lengths: Table 6, Meta's own dialogues. Devices: the global batch of 1,024 sequences divides among them.
ASSUMPTIONS = Assumptions(
    device="H100", devices=512, mfu=0.4, bandwidth_share=0.5, dollars_per_hour=2.0, dialogue_tokens=798, answer_tokens=234
)  # fmt: skip


def planned() -> list[str]:
    """Returns the scales that can be planned: those whose model has a shape in the recipe."""
    return [name for name, make in scales.SCALES.items() if not isinstance(make().base.model, AdoptRecipe)]


def assumptions(name: str) -> Assumptions:
    """Returns the assumptions of a scale: many devices for the paper's models, one for the others."""
    return ASSUMPTIONS if name in PAPER else replace(ASSUMPTIONS, devices=1)


def recipe(name: str, scale: Scale, **changes: float | str) -> PlanRecipe:
    """Returns the recipe of a scale's plan; `changes` replace assumptions."""
    alignment = AlignmentRecipe(
        scale.demonstrations, scale.prompts, scale.sft, scale.open_preferences, scale.rounds, scale.ghost, scale.ppo,
        scale.distillation, scale.evaluation, scale.ghost_evaluation,
    )  # fmt: skip
    return PlanRecipe(name, scale.base, alignment, replace(assumptions(name), **changes))


def rows_of_the_page() -> tuple[list[dict], list[dict]]:
    """Returns what was measured on a GPU and what was simulated: the rows that docs/scales.md shows beside the plans."""
    files = (CHECKOUT / "docs" / name for name in ("gpu_h200.jsonl", "scales.jsonl"))
    measured, simulated = (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] for path in files
    )
    return measured, simulated


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m orchestration.plans", description="What a scale would take, from its recipes alone."
    )
    parser.add_argument("scale", nargs="?", help=f"one of {', '.join(planned())}")
    parser.add_argument("--device", help="A100, H100 or H200")
    parser.add_argument("--devices", type=int, help="that train together")
    parser.add_argument("--mfu", type=float, help="model FLOPs utilization in training and reading, 0 to 1")
    parser.add_argument("--bandwidth-share", type=float, help="share of the memory bandwidth in generation, 0 to 1")
    parser.add_argument("--dollars-per-hour", type=float, help="price of an hour of a device")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the tables of docs/scales.md between markers")
    given = parser.parse_args(arguments)
    if bool(given.scale) == bool(given.write):
        parser.error("name a scale, or --write FILE")
    from modeling.planning import plan, report, tables  # here, because they load torch
    from release import results

    try:
        if given.write:
            made = {name: plan.plan(recipe(name, scales.scale(name))) for name in PAPER}
            results.write(given.write, "paper", tables.tables(made, *rows_of_the_page()))
        else:
            names = ("device", "devices", "mfu", "bandwidth_share", "dollars_per_hour")
            changes = {name: getattr(given, name) for name in names if getattr(given, name) is not None}
            print(report.report(plan.plan(recipe(given.scale, scales.scale(given.scale), **changes))), end="")
    except (ValueError, KeyError) as error:
        print(f"error: {error.args[0]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
