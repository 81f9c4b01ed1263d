"""The plan of one scale as Markdown, for the Dagster UI and the command line."""

import re
from collections.abc import Iterable

from modeling.core.reporting import table
from modeling.planning.cost import Cost, cost
from modeling.planning.devices import device
from modeling.planning.generation import BFLOAT16, Replica, replica
from modeling.planning.memory import ppo_bytes
from modeling.planning.plan import PRETRAINING, Plan
from modeling.planning.published import tonnes_co2e
from modeling.planning.work import Work, total

PPO_DEVICES = (8, 64)  # of a node, and of eight
COST_HEAD = ("GPU hours", "days", "$", "t CO2e")


def report(plan: Plan) -> str:
    """report.md."""
    assumed = plan.recipe.assumptions
    chip = device(assumed.device)
    parts = [
        f"# Plan of {plan.recipe.scale}\n",
        f"Assumed: {assumed.devices} × {chip.name}, {assumed.mfu:.0%} MFU in training and reading, "
        f"{assumed.bandwidth_share:.0%} of the memory bandwidth in generation, ${assumed.dollars_per_hour:g} an hour of a "
        f"device, dialogues of {assumed.dialogue_tokens} tokens with answers of {assumed.answer_tokens} (Table 6).\n",
        "## Parameters\n",
        table(("part", "parameters"), [*((name, f"{n:,}") for name, n in plan.parameters.items() if n),
                                       ("**all**", f"**{plan.count:,}**")]),
        "## Pretraining\n",
        pretraining(plan),
        f"## Memory of pretraining on one {chip.name} of {chip.memory / 1e9:.0f} GB\n",
        memory(plan),
        "## Generation and PPO\n",
        generation(plan),
        "## Every stage\n",
        stages(plan),
    ]  # fmt: skip
    return "\n".join(parts)


def pretraining(plan: Plan) -> str:
    base, spent = plan.recipe.base, plan.costs[PRETRAINING]
    sequences = base.batch_tokens // base.model.context
    rows = [
        ("FLOPs a token, forward and backward", f"{plan.flops_per_token:.4g}"),
        ("tokens", f"{plan.tokens:,}"),
        ("steps", f"{base.steps:,} of {sequences:,} sequences of {base.model.context:,} tokens"),
        ("FLOPs", f"{plan.works[PRETRAINING].flops:.3g}"),
        ("GPU hours, days, $, t CO2e", ", ".join(costs(spent))),
    ]
    if plan.published:
        row = plan.published
        rows.append((
            "Table 2",
            f"{row.gpu_hours:,} GPU hours on A100 × {row.watts:.0f} W = {row.tonnes_co2e} t CO2e (this formula: "
            f"{tonnes_co2e(row.gpu_hours, row.watts):.2f}); {plan.published_mfu:.1%} MFU by this count of FLOPs",
        ))  # fmt: skip
    return table(("pretraining", plan.recipe.scale), rows)


def costs(one: Cost) -> tuple[str, str, str, str]:
    """The cells under COST_HEAD."""
    return (
        number(one.gpu_hours),
        f"{one.days:,.1f}" if one.days >= 0.05 else f"{one.days:.1g}",
        f"{one.dollars:,.0f}" if one.dollars >= 1 else f"{one.dollars:.2g}",
        f"{one.tonnes_co2e:,.2f}" if one.tonnes_co2e >= 0.01 else f"{one.tonnes_co2e:.1g}",
    )


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def count(tokens: float) -> str:
    """12.3B; nothing for 0."""
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if tokens >= size:
            return f"{tokens / size:.3g}{unit}"
    return f"{tokens:.0f}" if tokens else ""


def memory(plan: Plan) -> str:
    """Memory by part and device count."""
    head = ("devices", "sequences at once", "weights", "gradients", "moments", "gathered", "activations", "working",
            "**all**", "all without recomputation")  # fmt: skip
    rows = []
    for fit in plan.fits:
        parts = [f"{size / 1e9:.1f}" for size in vars(fit.recomputed).values()]
        whole = (f"**{fit.recomputed.total / 1e9:.1f}**", f"{fit.kept.total / 1e9:.1f}")
        rows.append((fit.devices, fit.sequences, *parts, *whole))
    return "GB, with the activations of a layer computed again in the backward pass:\n\n" + table(head, rows)


def generation(plan: Plan) -> str:
    """The replica that draws answers for rejection sampling, and what PPO's models take."""
    one, critic = rejection_replica(plan), plan.recipe.alignment.ppo.baseline == "critic"
    rows = [
        ("devices of a replica", one.devices),
        ("weights in bfloat16", f"{BFLOAT16 * plan.count / 1e9:.1f} GB"),
        ("answers at once", f"{one.rows:,}"),
        ("their keys and values", f"{one.cache / 1e9:.1f} GB"),
        ("a step, one token of each answer", f"{1000 * one.step_seconds:.1f} ms"),
        ("answer tokens a second of a device", f"{one.tokens_per_second:,.0f}"),
        *((f"weights, gradients and moments of PPO's models on one of {devices} devices",
           f"{ppo_bytes(plan.count, critic, devices) / 1e9:,.0f} GB") for devices in PPO_DEVICES),
    ]  # fmt: skip
    return table(("generation", plan.recipe.scale), rows)


def rejection_replica(plan: Plan) -> Replica:
    """Returns the replica that answers in the first round's rejection sampling."""
    (drawn,) = plan.works["rlhf_v1/rejection_samples"].drawn
    return replica(plan.recipe.base.model, plan.count, drawn, plan.recipe.assumptions)


def stages(plan: Plan) -> str:
    """Work and cost by stage; the rounds of RLHF together."""
    rows = []
    for name, names in grouped(plan.works).items():
        work = total(plan.works[one] for one in names)
        spent = cost(work, plan.recipe.base.model, plan.count, plan.recipe.assumptions)
        rows.append((name, *tokens(work), f"{work.steps:,}" if work.steps else "", *costs(spent)))
    rows.append(("**all after pretraining**", "", "", "", "", *costs(plan.alignment)))
    return table(("stage", "trained", "read", "written", "steps", *COST_HEAD), rows)


def tokens(work: Work) -> tuple[str, str, str]:
    return count(work.trained), count(work.read), count(work.written)


def grouped(names: Iterable[str]) -> dict[str, list[str]]:
    """Returns the name of a row → its assets. The same asset of all rounds makes one row."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(re.sub(r"^rlhf_v\d+/", "", name), []).append(name)
    return {row if len(assets) == 1 else f"{row}, {len(assets)} rounds": assets for row, assets in found.items()}
