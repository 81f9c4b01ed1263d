"""Helpers shared by gates of several packages. Gates compare with the parent, so they mean the same at every scale."""

from pathlib import Path

import torch
from safetensors import safe_open

# Confidence level of a gate's interval. A run has twenty such gates, and chance must not fail one if little was learnt.
CONFIDENCE = 0.999


def not_finite(folder: Path) -> str | None:
    """Names the first tensor of a model directory with a value that is not finite; None if all are finite."""
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (not a dict)
                if not torch.isfinite(file.get_tensor(name)).all():
                    return f"{path.name}: {name} holds values that are not finite"
    return None


def has_weights(folder: Path) -> bool:
    """Whether a folder holds a model, and not only the shape of one (modeling/pretraining/initial_model.py)."""
    return any(folder.glob("*.safetensors"))
