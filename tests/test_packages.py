"""requirements.txt and constraints.txt say what is installed, and no more."""

import importlib.metadata
import re

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
