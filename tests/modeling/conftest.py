"""The independent judge, made once a session: its encoder and human labels are fetched (from the cache) and fitted."""

import pytest

from tests.conftest import MemoryLog
from tests.modeling import toy_evaluation


@pytest.fixture(scope="session")
def judge_inputs(tmp_path_factory) -> dict:
    """Folders by role: judge, dialogues, fitted_judge."""
    folder = tmp_path_factory.mktemp("judge")
    inputs = {
        "judge": toy_evaluation.fetch_sources(folder / "judge", {"minilm"}, MemoryLog()),
        "dialogues": toy_evaluation.fetch_sources(folder / "dialogues", {"pyrit-harm", "pyrit-refusal"}, MemoryLog()),
        "fitted_judge": folder / "fitted_judge",
    }
    toy_evaluation.fit_small_judge(inputs, inputs["fitted_judge"])
    return inputs
