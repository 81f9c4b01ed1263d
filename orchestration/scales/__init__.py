"""All hyper-parameters of all scales: recipe.py defines a scale, paper.py holds Llama 2's, the others derive from it.

`python -m orchestration.scales laptop 70b` prints the difference between two scales.
"""

from orchestration.scales import seeds
from orchestration.scales.laptop import laptop
from orchestration.scales.paper import llama2_7b, llama2_13b, llama2_34b, llama2_70b
from orchestration.scales.recipe import Scale, difference
from orchestration.scales.small import gpu, scratch, tiny

SCALES = {
    "tiny": tiny,
    "scratch": scratch,
    "laptop": laptop,
    "gpu": gpu,
    "7b": llama2_7b,
    "13b": llama2_13b,
    "34b": llama2_34b,
    "70b": llama2_70b,
}


def scale(name: str) -> Scale:
    """The recipes of a scale, with the seeds of CRIA_SEED.

    Raises KeyError, which lists the known scales, for an unknown name, and ValueError for a CRIA_SEED that is no number.
    """
    if name not in SCALES:
        raise KeyError(f"no scale {name!r}: use one of {', '.join(SCALES)}")
    return seeds.shifted(SCALES[name](), seeds.number())


__all__ = ["SCALES", "Scale", "difference", "scale"]
