"""The reward models that a store holds: both of the last round in which both are made."""

from dataclasses import dataclass
from pathlib import Path

from data_cleaning.store_layout import RECORD
from modeling.core.verdicts import has_weights
from modeling.rlhf.pairs import KINDS


@dataclass(frozen=True)
class RewardModels:
    """Both reward models of a round."""

    round: int
    folders: tuple[Path, ...]  # in the order of KINDS


def last_reward_models(scale: Path | None) -> RewardModels | None:
    """Returns those of the last round of which both are finished. `scale`: its folder in a store, if there is one."""
    rounds = scale.glob("rlhf_v*") if scale else ()
    for number in sorted((int(path.name.removeprefix("rlhf_v")) for path in rounds), reverse=True):
        folders = tuple(scale / f"rlhf_v{number}" / f"{kind}_reward_model" for kind in KINDS)
        if all((folder / RECORD).is_file() and has_weights(folder) for folder in folders):
            return RewardModels(number, folders)
    return None
