"""A table that describes the scales, for a person who picks a partition in the UI: a key has no description."""

from modeling.core.recipes import AdoptRecipe
from modeling.planning.sizes import parameters
from orchestration import scales
from orchestration.launchers import BY_SCALE


def _count(number: float) -> str:
    """2400000 → '2.4M'."""
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:,.1f}".removesuffix(".0") + unit
    return f"{number:,.0f}"


def table() -> str:
    """Returns a Markdown table of all scales, made from their recipes."""
    rows = ["| Scale | Parameters | Context | Pretraining | Runs on | What |", "|---|---|---|---|---|---|"]
    for name, make in scales.SCALES.items():
        scale = make()
        base = scale.base
        where = {"subprocess": "one GPU", "torchrun": "several GPUs"}.get(BY_SCALE.get(name), "CPU or GPU")
        seen = f"{_count(base.batch_tokens * base.steps)} tokens"
        if isinstance(base.model, AdoptRecipe):
            size = ("as published", f"{base.model.context:,}", f"{seen}, from `{base.model.source}`")
        else:
            size = (_count(parameters(base.model)), f"{base.model.context:,}", seen)
        what = make.__doc__.splitlines()[0].rstrip(".")
        rows.append("| " + " | ".join((f"`{name}`", *size, where, what)) + " |")
    return "\n".join(rows)
