"""An asset's entry in Dagster's catalog: owner, description, section of the paper, kinds, link to its code."""

import importlib.util
import os
import re
import warnings
from pathlib import Path

import dagster as dg

from orchestration.launchers import TRAINERS
from orchestration.stage import SCALE, Stage

# Owners by group. CRIA_OWNER replaces them for all groups: e-mail addresses or teams (`team:NAME`), separated by
# commas.
OWNERS = {
    "corpus": "team:data",
    "pretraining": "team:pretraining",
    "finetuning": "team:alignment",
    "rlhf": "team:alignment",
    "safety": "team:alignment",
    "evaluation": "team:evaluation",
    "release": "team:release",
    "plan": "team:pretraining",
}
OWNER = re.compile(r"team:\w[\w-]*|[^@\s]+@[^@\s]+\.[^@\s]+")
MODELS = TRAINERS | {"modeling.rlhf.ppo.stage"}


def owners(stage: Stage) -> list[str]:
    """Returns the owners of a stage's asset. Raises ValueError if CRIA_OWNER is neither an address nor a team."""
    stated = [owner for owner in os.environ.get("CRIA_OWNER", "").replace(" ", "").split(",") if owner]
    for owner in stated:
        if not OWNER.fullmatch(owner):
            raise ValueError(f"CRIA_OWNER names {owner!r}: write an e-mail address, or team:NAME")
    group = stage.group.split("_")[0]
    return stated or ([OWNERS[group]] if group in OWNERS else [])


def description(stage: Stage) -> str:
    """Returns the asset's description: what it is, its section of the paper, its code, and its partitions."""
    partitions = "\n\nOne partition per scale: the job `model` describes the scales." if stage.axis == SCALE else ""
    return f"{stage.description}\n\nPaper: {stage.paper}. Made by `{stage.module}.run`.{partitions}"


def makes(stage: Stage) -> str:
    """Returns the kind of artifact that the stage makes: model, measures, release or data."""
    if stage.module in MODELS:
        return "model"
    return {"evaluation": "measures", "plan": "measures", "release": "release"}.get(stage.group, "data")


def tags(stage: Stage) -> dict[str, str]:
    """Returns tags by which the UI filters the graph: `tag:makes=model`, `tag:"paper/3.2.2"`."""
    sections = (section.replace(" ", "-") for section in stage.paper.split(", "))
    return {"makes": makes(stage), **{f"paper/{section}": "" for section in sections}}


def kinds(stage: Stage) -> set[str]:
    """Returns the libraries and formats for which the UI draws icons."""
    if stage.module in MODELS or stage.group == "release":
        return {"pytorch", "huggingface"}
    return {"pytorch"} if stage.module.startswith("modeling.") else {"python"}


def code_link(stage: Stage) -> dict[str, dg.CodeReferencesMetadataValue]:
    """Returns metadata that links the asset to the `run` of its module."""
    path = Path(importlib.util.find_spec(stage.module).origin)
    lines = path.read_text(encoding="utf-8").splitlines()
    number = next((number for number, line in enumerate(lines, 1) if line.startswith("def run(")), 1)
    with warnings.catch_warnings():  # code references are in preview: Dagster would warn for each asset
        warnings.simplefilter("ignore", dg.BetaWarning)
        reference = dg.LocalFileCodeReference(file_path=str(path), line_number=number, label=f"{stage.module}.run")
        return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[reference])}
