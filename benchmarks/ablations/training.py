"""One training of an ablation and its record; a recorded training is not run again, a killed one continues."""

import datetime
import json
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.ablations import data
from benchmarks.ablations.ablation import Ablation, Place, Records
from benchmarks.ablations.recipe import AblationsRecipe
from data_cleaning.files import write_json
from orchestration import records
from orchestration.identity import digest
from orchestration.staging import begin_attempt


def record_path(place: Place, ablation: str, setting: str, seed: int) -> Path:
    return place.folder / ablation / f"{_slug(setting)}-seed{seed}.json"


def _slug(setting: str) -> str:
    return re.sub(r"\W+", "-", setting)


def train(ablation: Ablation, setting: str, seed: int, recipe: AblationsRecipe, place: Place, log: Any) -> bool:
    """Trains and measures one setting with one seed, and writes its record. Returns False if it was recorded before.

    Raises MissingDataError if the store lacks what the training reads.
    """
    value = ablation.settings(recipe)[setting]
    found = ablation.data(recipe, place, value, log)
    basis = recipe.basis(ablation.name, data.mixture_content(place))
    identity = digest([basis, setting, seed, found.content])
    path = record_path(place, ablation.name, setting, seed)
    if path.is_file() and json.loads(path.read_text(encoding="utf-8"))["identity"] == identity:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    config = replace(ablation.training(recipe, value), seed=seed)
    work = place.folder / "work" / f"{ablation.name}-{_slug(setting)}-{seed}" / identity[:16]
    work.mkdir(parents=True, exist_ok=True)
    earlier, began = begin_attempt(work, {"training": identity}), time.monotonic()
    metrics = ablation.run(config, found.inputs, work, log)
    figures = ablation.measure(work, found, recipe)
    write_json(
        path,
        {
            "ablation": ablation.name,
            "setting": setting,
            "seed": seed,
            "basis": basis,
            "identity": identity,
            "recipe": records.as_json(config),
            "metrics": metrics,
            "figures": figures,
            "seconds": round(earlier + time.monotonic() - began, 1),
            "git": records.git_state(),
            "host": records.host(),
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        },
    )
    shutil.rmtree(work.parent)  # with unfinished work for other recipes
    return True


def read(place: Place, ablation: Ablation, recipe: AblationsRecipe) -> Records:
    """Returns the records of an ablation that share the basis of its newest one, in the order of the settings."""
    paths = sorted((place.folder / ablation.name).glob("*.json"))
    found = sorted((json.loads(path.read_text(encoding="utf-8")) for path in paths), key=lambda one: one["created"])
    current = [one for one in found if one["basis"] == found[-1]["basis"]]
    of = {name: {one["seed"]: one for one in current if one["setting"] == name} for name in ablation.settings(recipe)}
    return {name: dict(sorted(each.items())) for name, each in of.items() if each}
