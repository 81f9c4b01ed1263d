"""What the gates of several wings share. They compare with the parent, so that they mean the same at every scale."""

from pathlib import Path

import torch
from safetensors import safe_open

# Of the intervals that decide. A run has twenty such gates, and where little was learnt chance must not stop one of them.
CONFIDENCE = 0.999


def not_finite(folder: Path) -> str | None:
    """The first tensor of a model directory that holds a value that is no finite number; None where all are finite."""
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (not a dict)
                if not torch.isfinite(file.get_tensor(name)).all():
                    return f"{path.name}: {name} holds values that are not finite"
    return None
