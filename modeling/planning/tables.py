"""The tables of docs/scales.md: the plans of several scales side by side, and what was measured and simulated."""

from collections.abc import Sequence
from dataclasses import replace

from modeling.core.reporting import table
from modeling.planning import report
from modeling.planning.cost import Cost, cost
from modeling.planning.devices import device
from modeling.planning.memory import BFLOAT16, ppo_bytes, training_memory
from modeling.planning.plan import PRETRAINING, Plan
from modeling.planning.published import TABLE_2, TOTAL_GPU_HOURS, TOTAL_TONNES, tonnes_co2e
from modeling.planning.work import total

# Of docs/gpu_h200.jsonl: the share of the data sheet's peak that pretraining reached on one H200, at 125M parameters.
MEASURED = ("pretraining compiled", "MFU by the stage's count against the data sheet")


def tables(plans: dict[str, Plan], measured: Sequence[dict], simulated: Sequence[dict]) -> dict[str, str]:
    """Returns marker → Markdown. `measured`: rows of docs/gpu_h200.jsonl; `simulated`: rows of docs/scales.jsonl."""
    return {
        "sizes": sizes(plans),
        "carbon": carbon(plans),
        "hours": hours(plans, measured_mfu(measured)),
        "memory": memory(plans),
        "simulated": simulation(plans, simulated),
        "generation": generation(plans),
        "alignment": alignment(plans),
    }


def measured_mfu(rows: Sequence[dict]) -> float:
    """Returns the measured MFU, 0 to 1. Raises StopIteration if the rows do not hold it."""
    return next(row["value"] for row in rows if (row.get("part"), row.get("measure")) == MEASURED) / 100


def sizes(plans: dict[str, Plan]) -> str:
    rows = [
        (
            f"`{name}`",
            f"{plan.count:,}",
            *(report.count(plan.parameters[part]) for part in ("attention", "feed-forward")),
            report.count(plan.parameters["input embedding"] + plan.parameters["output matrix"]),
            f"{plan.flops_per_token / 1e9:.1f}",
            f"{plan.recipe.base.steps:,}",
            report.count(plan.tokens),
            f"{plan.works[PRETRAINING].flops:.2e}",
        )
        for name, plan in plans.items()
    ]
    head = ("Scale", "Parameters", "Attention", "Feed-forward", "Embeddings", "GFLOPs a token", "Steps", "Tokens",
            "FLOPs")  # fmt: skip
    return table(head, rows)


def carbon(plans: dict[str, Plan]) -> str:
    """Table 2 and the formula."""
    rows = [
        (
            f"`{name}`",
            f"{TABLE_2[name].gpu_hours:,}",
            f"{TABLE_2[name].watts:.0f}",
            f"{TABLE_2[name].tonnes_co2e:.2f}",
            f"{tonnes_co2e(TABLE_2[name].gpu_hours, TABLE_2[name].watts):.2f}",
            f"{plan.published_mfu:.1%}".replace("%", " %"),
        )
        for name, plan in plans.items()
    ]
    formula = sum(tonnes_co2e(row.gpu_hours, row.watts) for row in TABLE_2.values())
    rows.append(("all", f"{TOTAL_GPU_HOURS:,}", "", f"{TOTAL_TONNES:.2f}", f"{formula:.2f}", ""))
    head = ("Scale", "GPU hours on A100 (paper)", "W", "t CO2e (paper)", "t CO2e (formula)", "MFU that the hours imply")
    return table(head, rows)


def _spent(plan: Plan, name: str, mfu: float) -> Cost:
    """Returns the cost of pretraining on devices of that name at that MFU."""
    assumed = replace(plan.recipe.assumptions, device=name, mfu=mfu)
    return cost(plan.works[PRETRAINING], plan.recipe.base.model, plan.count, assumed)


def hours(plans: dict[str, Plan], measured: float) -> str:
    """Pretraining: on A100 at the paper's MFU, and on the assumed device at the assumed and at the measured one."""
    assumed = next(iter(plans.values())).recipe.assumptions
    head = (
        "Scale", "GPU hours, A100 at the paper's MFU", f"GPU hours, {assumed.device} at {assumed.mfu:.0%} MFU".replace("%", " %"),
        f"days on {assumed.devices}", "$", "t CO2e", f"GPU hours, {assumed.device} at the measured {100 * measured:.1f} %",
    )  # fmt: skip
    rows = []
    for name, plan in plans.items():
        paper, own = _spent(plan, "A100", plan.published_mfu), _spent(plan, assumed.device, measured)
        gpu_hours, *others = report.costs(plan.costs[PRETRAINING])
        rows.append((f"`{name}`", f"{paper.gpu_hours:,.0f}", gpu_hours, *others, f"{own.gpu_hours:,.0f}"))
    return table(head, rows)


def memory(plans: dict[str, Plan]) -> str:
    """Gigabytes on one device in pretraining."""
    room = device(next(iter(plans.values())).recipe.assumptions.device).memory
    rows = []
    for name, plan in plans.items():
        for fit in plan.fits:
            held = fit.recomputed
            states = held.weights + held.gradients + held.moments
            parts = (states, held.gathered, held.activations, held.working)
            fits = "yes" if held.total <= room else "no"
            whole = (f"**{held.total / 1e9:.1f}**", fits, f"{fit.kept.total / 1e9:.1f}")
            rows.append((f"`{name}`", fit.devices, fit.sequences, *(f"{part / 1e9:.1f}" for part in parts), *whole))
    head = ("Scale", "Devices", "Sequences at once", "Weights, gradients, moments", "Gathered", "Activations", "Working",
            "All", f"Fits {room / 1e9:.0f} GB", "All without recomputation")  # fmt: skip
    return table(head, rows)


def simulation(plans: dict[str, Plan], rows: Sequence[dict]) -> str:
    """The plan's bytes beside those that torch's tracker counted on fake tensors."""
    head = ("Scale", "Devices", "Sequences at once", "Recomputation", "Weights, gradients, moments: plan", "tracker",
            "Peak: plan", "tracker", "Difference")  # fmt: skip
    cells = []
    for row in rows:
        model = plans[row["scale"]].recipe.base.model
        planned = training_memory(model, row["devices"], row["sequences"], row["recompute"])
        states = planned.weights + planned.gradients + planned.moments
        cells.append((
            f"`{row['scale']}`", row["devices"], row["sequences"], "yes" if row["recompute"] else "no",
            f"{states / 1e9:.3f}", f"{row['states'] / 1e9:.3f}", f"{planned.total / 1e9:.1f}", f"{row['peak'] / 1e9:.1f}",
            f"{100 * (planned.total / row['peak'] - 1):+.1f} %",
        ))  # fmt: skip
    return table(head, cells)


def generation(plans: dict[str, Plan]) -> str:
    """Weights and caches where answers are drawn, their speed, and what PPO's models take."""
    rows = []
    for name, plan in plans.items():
        one = report.rejection_replica(plan)
        critic = plan.recipe.alignment.ppo.baseline == "critic"
        ppo = [f"{ppo_bytes(plan.count, critic, devices) / 1e9:,.0f}" for devices in report.PPO_DEVICES]
        rows.append((
            f"`{name}`", one.devices, f"{BFLOAT16 * plan.count / 1e9:.1f}", f"{one.cache / 1e9:.1f}", f"{one.rows:,}",
            f"{one.tokens_per_second:,.0f}", *ppo,
        ))  # fmt: skip
    head = ("Scale", "Devices of a replica", "Weights, GB", "Keys and values, GB", "Answers at once",
            "Answer tokens a second of a device",
            *(f"PPO's models on one of {count}, GB" for count in report.PPO_DEVICES))  # fmt: skip
    return table(head, rows)


def alignment(plans: dict[str, Plan]) -> str:
    """Tokens, the same at all of these scales, and GPU hours by scale."""
    first = next(iter(plans.values()))
    rows = []
    for name, names in report.grouped(first.works).items():
        if name == PRETRAINING:
            continue
        work = total(first.works[one] for one in names)
        spent = [sum(plan.costs[one].gpu_hours for one in names) for plan in plans.values()]
        rows.append((name.replace("_", " "), *report.tokens(work), *map(report.number, spent)))
    whole = [plan.alignment.gpu_hours for plan in plans.values()]
    shares = [100 * plan.alignment.gpu_hours / plan.costs[PRETRAINING].gpu_hours for plan in plans.values()]
    rows.append(("**all**", "", "", "", *(f"**{report.number(one)}**" for one in whole)))
    rows.append(("share of pretraining", "", "", "", *(f"{share:.1f} %" for share in shares)))
    return table(("Stage", "Trained", "Read", "Written", *(f"`{name}`" for name in plans)), rows)
