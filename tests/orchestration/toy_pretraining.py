"""The pretraining stage with a toy recipe, and three stages that make its inputs."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from orchestration.stage import SCALE, Stage
from tests.modeling.pretraining.test_pretrain import RECIPE, make_inputs


@dataclass(frozen=True)
class Part:
    name: str


def run(config: Part, inputs: dict[str, Path], out: Path, log) -> dict:
    """Makes one of the inputs of the toy pretraining."""
    everything = out / "_scratch" / "inputs"
    make_inputs(everything)
    (everything / config.name).mkdir(exist_ok=True)
    shutil.copytree(everything / config.name, out, dirs_exist_ok=True)
    return {}


def _stage(key: str, module: str, recipe, **inputs: Stage) -> Stage:
    return Stage(key, module, "toys", SCALE, lambda settings: recipe, "-", "a toy", tuple(inputs.items()))


PARTS = {name: _stage(f"toy_{name}", __name__, Part(name)) for name in ("tokens", "tokenizer", "initial_model")}
STAGE = _stage("toy_model", "modeling.pretraining.pretrain", RECIPE, **PARTS)
