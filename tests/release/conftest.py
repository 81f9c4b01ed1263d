"""One small release for all tests of this folder, made by the real stage from a real store."""

from pathlib import Path

import pytest

from release import export
from tests.conftest import MemoryLog
from tests.release import toy_store


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> toy_store.ToyStore:
    return toy_store.evaluated(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def bundle_metrics(store, tmp_path_factory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("release") / "bundle"
    out.mkdir()
    metrics = export.run(toy_store.RECIPE, toy_store.inputs(store, list(toy_store.EVALUATIONS)), out, MemoryLog())
    return out, metrics


@pytest.fixture(scope="session")
def bundle(bundle_metrics) -> Path:
    return bundle_metrics[0]
