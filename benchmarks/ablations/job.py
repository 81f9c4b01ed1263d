"""Runs ablations one training after the other, and writes the page after each of them."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.ablations import attention, context, factual, lengths, page, rewards, safety_data, training
from benchmarks.ablations.ablation import Place
from benchmarks.ablations.data import mixture_content
from benchmarks.ablations.recipe import AblationsRecipe
from orchestration.console import StageLog
from orchestration.staging import alone
from orchestration.store import store

ABLATIONS = (
    attention.ABLATION,
    factual.ABLATION,
    context.ABLATION,
    lengths.ABLATION,
    *rewards.ABLATIONS,
    safety_data.ABLATION,
)


def run(recipe: AblationsRecipe, scale: str, only: Sequence[str], seeds: Sequence[int], page_file: Path) -> int:
    """Trains what is not recorded yet. Returns the number of trainings that were run.

    Raises MissingDataError if the store lacks the mixture or the corpus, and MarkerError
    if the page has no place for the tables.
    """
    place = Place(scale, store() / "ablations" / scale)
    mixture_content(place)
    page.write(page_file, ABLATIONS, recipe, place)  # says before any training if the page cannot be written
    chosen = [one for one in ABLATIONS if one.name in only]
    todo = [(one, setting, seed) for one in chosen for seed in seeds for setting in one.settings(recipe)]
    log = StageLog("ablations")
    place.folder.mkdir(parents=True, exist_ok=True)
    ran = 0
    with alone(place.folder / "training", log):
        for number, (ablation, setting, seed) in enumerate(todo, 1):
            own = StageLog(f"[{number:2d}/{len(todo)}] {ablation.name}, {setting}, seed {seed}")
            if training.train(ablation, setting, seed, recipe, place, own):
                ran += 1
                page.write(page_file, ABLATIONS, recipe, place)
    log.info(f"{ran} trainings run, {len(todo) - ran} were recorded before; {page_file} is written")
    return ran
