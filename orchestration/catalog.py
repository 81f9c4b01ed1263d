"""What Dagster's catalogue says of an asset: who answers for it, what it is, which section of the paper, where its code lies."""

import importlib.util
import os
import re
import warnings
from pathlib import Path

import dagster as dg

from orchestration.launchers import TRAINERS
from orchestration.stage import SCALE, Stage

# By group; CRIA_OWNER names others for all, separated by commas: e-mail addresses, or teams as `team:NAME`.
OWNERS = {
    "corpus": "team:data",
    "pretraining": "team:pretraining",
    "finetuning": "team:alignment",
    "rlhf": "team:alignment",
    "safety": "team:alignment",
    "evaluation": "team:evaluation",
    "release": "team:release",
}
OWNER = re.compile(r"team:\w[\w-]*|[^@\s]+@[^@\s]+\.[^@\s]+")
MODELS = TRAINERS | {"modeling.rlhf.ppo.stage"}


def owners(stage: Stage) -> list[str]:
    """The owners of a stage's asset. Raises ValueError where CRIA_OWNER is neither an address nor a team."""
    stated = [owner for owner in os.environ.get("CRIA_OWNER", "").replace(" ", "").split(",") if owner]
    for owner in stated:
        if not OWNER.fullmatch(owner):
            raise ValueError(f"CRIA_OWNER names {owner!r}: write an e-mail address, or team:NAME")
    group = stage.group.split("_")[0]
    return stated or ([OWNERS[group]] if group in OWNERS else [])


def description(stage: Stage) -> str:
    """What the asset is, where the paper has it, what makes it, and where a person reads what its partitions are."""
    partitions = "\n\nOne partition a scale: the job `model` says which scale is what." if stage.axis == SCALE else ""
    return f"{stage.description}\n\nPaper: {stage.paper}. Made by `{stage.module}.run`.{partitions}"


def makes(stage: Stage) -> str:
    """What kind of thing the stage makes: model, measures, release or data."""
    if stage.module in MODELS:
        return "model"
    return {"evaluation": "measures", "release": "release"}.get(stage.group, "data")


def tags(stage: Stage) -> dict[str, str]:
    """By which the graph is filtered in the UI: `tag:makes=model`, `tag:"paper/3.2.2"`."""
    sections = (section.replace(" ", "-") for section in stage.paper.split(", "))
    return {"makes": makes(stage), **{f"paper/{section}": "" for section in sections}}


def kinds(stage: Stage) -> set[str]:
    """The libraries and formats that the graph draws an icon for."""
    if stage.module in MODELS or stage.group == "release":
        return {"pytorch", "huggingface"}
    return {"pytorch"} if stage.module.startswith("modeling.") else {"python"}


def code_link(stage: Stage) -> dict[str, dg.CodeReferencesMetadataValue]:
    """Metadata that links the asset to the `run` of its module, and to nothing where the module has none."""
    path = Path(importlib.util.find_spec(stage.module).origin)
    lines = path.read_text(encoding="utf-8").splitlines()
    number = next((number for number, line in enumerate(lines, 1) if line.startswith("def run(")), 1)
    with warnings.catch_warnings():  # that links to code are young: every command would begin with it, for each asset
        warnings.simplefilter("ignore", dg.BetaWarning)
        reference = dg.LocalFileCodeReference(file_path=str(path), line_number=number, label=f"{stage.module}.run")
        return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[reference])}
