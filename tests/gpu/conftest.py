"""What only a GPU can show: `CRIA_GPU_TESTS=1 python -m pytest tests/gpu`. Where there is none, that tries it on the CPU."""

import os

import pytest
import torch

from modeling.core import runtime
from tests.modeling import toy_chat, toy_rlhf


def pytest_collection_modifyitems(items) -> None:
    if os.environ.get("CRIA_GPU_TESTS") != "1":
        for item in items:
            if item.path.is_relative_to(os.path.dirname(__file__)):
                item.add_marker(pytest.mark.skip(reason="for a GPU: CRIA_GPU_TESTS=1 python -m pytest tests/gpu"))


@pytest.fixture(scope="session")
def where() -> torch.device:
    return runtime.device()


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> dict:
    """Folders by role: policy, helpfulness_reward_model, safety_reward_model, prompts."""
    return toy_rlhf.build(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    return toy_chat.save_base(tmp_path_factory.mktemp("base"))
