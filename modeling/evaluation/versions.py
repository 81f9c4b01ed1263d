"""The versions that evaluations compare, in training order, with the names of Figure 11."""

import json
from collections.abc import Sequence
from pathlib import Path

from modeling.core import version_names
from modeling.core.verdicts import has_weights

BASE, SFT, PPO, CHAT = "Base", "SFT", "PPO", "Chat"
HEADLINE = (BASE, SFT, CHAT)  # these answer every prompt, the others a nested subset
TOLD = f"{CHAT}, Table 31"  # Chat with the default system prompt; no version of its own


def version_folders(inputs: dict[str, Path]) -> dict[str, Path]:
    """Returns name → folder in training order: Base, SFT, RLHF-v1 … (rejection sampling), PPO, Chat.

    Base is `initial_model`, the checkpoint that training starts from, or `base_model` where there is none. Raises
    ValueError without a base, sft_model or a later version.
    """
    later = {name: inputs[role] for role, name in version_names.named(inputs).items() if role not in version_names.BASE}
    if "base_model" not in inputs or SFT not in later or len(later) < 2:
        raise ValueError(f"Needs base_model, sft_model and at least one later version, got {', '.join(sorted(inputs))}")
    return {BASE: checkpoint(inputs) or inputs["base_model"], **later}


def checkpoint(inputs: dict[str, Path]) -> Path | None:
    """Returns the model that pretraining starts from, or None if it starts from random weights."""
    folder = inputs.get("initial_model")
    return folder if folder is not None and has_weights(folder) else None


def baselines(version: str, versions: Sequence[str]) -> list[str]:
    """Returns what a version or a control is compared with: Base, SFT and, for a version, the one before it."""
    before = list(versions[: versions.index(version)]) if version in versions else []
    fixed = [name for name in (BASE, SFT) if name in before or version not in versions]
    return list(dict.fromkeys([*fixed, *before[-1:]]))


def read_choice(folder: Path) -> dict[str, float]:
    """Returns version → sampling temperature of a `temperature_curve` artifact."""
    return json.loads((folder / version_names.CHOICE).read_text(encoding="utf-8"))
