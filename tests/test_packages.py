"""requirements.txt and constraints.txt say what is installed, and no more; requirements-cluster.txt adds to them."""

import importlib.metadata
import re

import pytest
from packaging.requirements import Requirement

from tests.conftest import ROOT

# Each machine takes its own build of torch, and with it what that build needs.
UNPINNED = {"torch"}


def names(file: str) -> set[str]:
    lines = (line.split("#")[0].strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines())
    return {normalised(re.split(r"[<>=!~\[; ]", line)[0]) for line in lines if line}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_pin_is_of_an_installed_package():
    installed = {normalised(found.metadata["Name"]) for found in importlib.metadata.distributions()}
    assert sorted(names("constraints.txt") - installed) == [], "drop these pins, nothing needs them any more"


def test_every_requirement_is_pinned():
    assert names("requirements.txt") - names("constraints.txt") == UNPINNED


def needed(packages: set[str], installed: dict[str, importlib.metadata.Distribution]) -> set[str]:
    """All that these packages ("name" or "name[extra]") bring along, themselves included."""
    todo, seen = [Requirement(package) for package in packages], set()
    while todo:
        asked = todo.pop()
        for extra in ("", *asked.extras):
            if (normalised(asked.name), extra) not in seen:
                seen.add((normalised(asked.name), extra))
                brought = map(Requirement, installed[normalised(asked.name)].requires or ())
                todo += [one for one in brought if one.marker is None or one.marker.evaluate({"extra": extra})]
    return {name for name, _ in seen}


def test_what_a_cluster_needs_is_pinned():
    installed = {normalised(found.metadata["Name"]): found for found in importlib.metadata.distributions()}
    if "ray" not in installed:
        pytest.skip("not installed: make cluster")
    both = names("requirements-cluster.txt") | names("constraints.txt")
    lines = [line.split("#")[0].strip() for line in (ROOT / "requirements-cluster.txt").open(encoding="utf-8")]
    pins = dict(line.split("==") for line in lines if line)
    assert needed(set(pins), installed) <= both
    pins = {name.partition("[")[0]: version for name, version in pins.items()}
    other = {name: installed[normalised(name)].version for name, version in pins.items()
             if installed[normalised(name)].version != version}  # fmt: skip
    assert not other, "make cluster"
    assert not names("requirements-cluster.txt") & names("constraints.txt"), "pinned twice"
