"""The hash of code sees what a stage runs, and nothing else; it is the same under every Python."""

import functools
import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from assets import STAGES
from data_cleaning.reading import extract
from data_cleaning.recipes import ExtractRecipe
from orchestration import source_code
from tests.conftest import ROOT
from tests.data_cleaning.raw import sources_artifact

PROJECT = {
    "pure/__init__.py": "",
    "pure/recipes.py": """\
from dataclasses import dataclass

FIRST = 'base'
OTHER = 1

@dataclass(frozen=True)
class Mine:
    steps: int

@dataclass(frozen=True)
class Another:
    size: int
""",
    "pure/core/__init__.py": "from pure.core.words import split\n",
    "pure/core/words.py": """\
import re

SPLIT = re.compile(' ')

def split(text):
    return SPLIT.split(text)

def unused():
    return 1
""",
    "pure/core/effects.py": """\
import csv

csv.field_size_limit(10)

def limit():
    return csv.field_size_limit()
""",
    "pure/core/tables.py": """\
SUFFIXES, LENGTHS = {'.txt': 'text'}, [1]
LENGTHS += [2]

def kind(name):
    return SUFFIXES[name], LENGTHS
""",
    "pure/core/program.py": """\
STARTS = True

def main():
    return 1

if __name__ == '__main__':
    main()
""",
    "pure/core/whole.py": "def one():\n    return 1\n",
    "pure/core/many.py": "def star():\n    return 1\n",
    "pure/stages/__init__.py": "",
    "pure/stages/helper.py": "def help():\n    return 1\n",
    "pure/stages/lazy.py": "def late():\n    return 1\n",
    "pure/stages/stage.py": '''\
"""What the stage does."""

import json as codec
from typing import TYPE_CHECKING

from pure import recipes
from pure.core import split as cut, whole
from pure.core.effects import limit
from pure.core.many import *
from . import helper
from ..core import program, tables

if TYPE_CHECKING:
    from pure.core import words


def run(config: recipes.Mine, inputs, out, log):
    """Runs."""
    from pure.stages.lazy import late

    kept = {name: helper.help() for name in cut(recipes.FIRST)}  # all of them
    return codec.dumps([kept, late(), tables.kind(".txt"), vars(whole), program.STARTS, star()])


def apart():
    return 2
''',
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name, text in PROJECT.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(source_code, "CHECKOUT", tmp_path)
    return tmp_path


def edit(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("pure/stages/stage.py", "What the stage does", "What it does"),
        ("pure/stages/stage.py", '    """Runs."""\n', ""),
        ("pure/stages/stage.py", "  # all of them", ""),
        ("pure/stages/stage.py", "helper.help() for", "(helper\n        .help()) for"),
        ("pure/stages/stage.py", "return 2", "return 3"),
        ("pure/stages/stage.py", "if TYPE_CHECKING:\n", "if TYPE_CHECKING:\n    from pure.stages import stage\n"),
        ("pure/recipes.py", "size: int", "size: int\n    width: int"),
        ("pure/recipes.py", "OTHER = 1", "OTHER = 2"),
        ("pure/core/words.py", "return 1", "return 2"),
        ("pure/core/effects.py", "import csv", '"""Limits."""\nimport csv'),
    ],
)
def test_what_the_stage_does_not_run_leaves_its_hash(project, file, old, new):
    before = source_code.code_version_now("pure.stages.stage")
    edit(project, file, old, new)
    assert source_code.code_version_now("pure.stages.stage") == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("pure/stages/stage.py", "kept, late()", "late(), kept"),
        ("pure/stages/stage.py", "import json as codec", "import pickle as codec"),
        ("pure/stages/helper.py", "return 1", "return 2"),  # from . import
        ("pure/core/tables.py", "'.txt': 'text'", "'.txt': 'text', '.md': 'text'"),  # from ..core import
        ("pure/core/tables.py", "+= [2]", "+= [3]"),
        ("pure/stages/lazy.py", "return 1", "return 2"),  # imported inside the function
        ("pure/recipes.py", "'base'", "'first'"),
        ("pure/recipes.py", "steps: int", "steps: float"),
        ("pure/core/words.py", "re.compile(' ')", "re.compile(',')"),  # handed on by pure/core/__init__.py
        ("pure/core/effects.py", "field_size_limit(10)", "field_size_limit(20)"),  # runs on import
        ("pure/core/program.py", "return 1", "return 2"),  # started by its name
        ("pure/core/whole.py", "return 1", "return 2"),  # the module handed on as a value
        ("pure/core/many.py", "return 1", "return 2"),  # import *
    ],
)
def test_what_it_runs_changes_it(project, file, old, new):
    before = source_code.code_version_now("pure.stages.stage")
    edit(project, file, old, new)
    assert source_code.code_version_now("pure.stages.stage") != before


def test_a_gate_is_hashed_for_itself(project):
    before = {name: source_code.code_version_now("pure.stages.stage", name) for name in ("run", "apart")}
    edit(project, "pure/stages/stage.py", "return 2", "return 3")
    after = {name: source_code.code_version_now("pure.stages.stage", name) for name in ("run", "apart")}
    assert before["run"] == after["run"] and before["apart"] != after["apart"]


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(FileNotFoundError, match="no module modeling.nothing"):
        source_code.code_version("modeling.nothing")


# --- the real code ---

VERSIONS = """
import sys
sys.path.insert(0, sys.argv[1])
from orchestration.source_code import code_version
print(*(code_version(module) for module in sys.argv[2:]))
"""
# Where Pythons cut f-strings, quote, fold and list fields differently.
SYNTAX = r"""
def run(config, inputs, out, log, *rest, key=-1, **named):
    width = 3
    texts = [f"{width:>{width}}", f"a" "b" f"{width!r:^{width}}c", f"{{}}{width:}", f"{width = }", u"u", b"\x00", "\ud800"]
    with open("a") as one, open("b") as two:
        return texts, 1e999, 1j, ..., (lambda a, /, b=1, *, c: a)(1, c=2), {**named, "x": [*rest]}
"""


@functools.cache
def pythons() -> dict[str, str]:
    """Version → command of every Python from 3.11 on that starts here."""
    named = [shutil.which(f"python3.{minor}") for minor in range(11, 20)]
    managed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {}
    for command in [sys.executable, *filter(None, named), *map(str, managed.glob("3.1[1-9].*/bin/python"))]:
        asked = [command, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        started = subprocess.run(asked, capture_output=True, text=True, check=False)  # a shim may name none
        if started.returncode == 0:
            found.setdefault(started.stdout.strip(), command)
    return found


@pytest.mark.skipif(len(pythons()) < 2, reason="there is one Python only")
def test_the_hash_is_the_same_under_every_python(tmp_path):
    for package in ("data_cleaning", "modeling", "release", "orchestration"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "modeling" / "syntax_sample.py").write_text(SYNTAX, encoding="utf-8")
    modules = sorted({stage.module for stage in STAGES.values()} | {"modeling.syntax_sample"})
    said = {}
    for version, python in pythons().items():  # -S: without any installed package
        command = [python, "-S", "-c", VERSIONS, str(tmp_path), *modules]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        said[version] = done.stdout.split()
    assert {len(hashes) for hashes in said.values()} == {len(modules)}
    differing = {module for module, *hashes in zip(modules, *said.values(), strict=True) if len(set(hashes)) > 1}
    assert not differing, f"under {', '.join(said)}"


def test_all_that_a_stage_calls_is_counted(tmp_path, log):
    """By what really runs: reading documents of every kind."""
    files = {"a.txt": b"text", "b.md": b"# T\ntext", "c.jsonl": b'{"text": "t"}\n{', "d.json": b'[{"text": "t"}]',
             "e.csv": b"text\nt", "f.html": b"<html><body><p>A page of text.</p></body></html>"}  # fmt: skip
    sources = sources_artifact(tmp_path / "sources", files)
    (tmp_path / "out").mkdir()
    called = set()

    def note(frame, event, argument) -> None:
        code = frame.f_code
        if event == "call" and code.co_flags & inspect.CO_OPTIMIZED:  # a function, no body of a module or class
            called.add((code.co_filename, code.co_qualname.split(".")[0]))

    sys.setprofile(note)
    extract.run(ExtractRecipe(1000, 10_000, 100, 10), {"sources": sources}, tmp_path / "out", log)
    sys.setprofile(None)
    counted = source_code.definitions(extract.__name__)
    ours = {(Path(file).relative_to(ROOT), name) for file, name in called if file.startswith(f"{ROOT}/data_cleaning")}
    found = {(".".join(file.with_suffix("").parts), name) for file, name in ours}
    assert len(found) > 30 and not {(module, name) for module, name in found if name not in counted[module]}


def test_fetching_imports_no_reader():
    code = "import sys, data_cleaning.sources.fetch; print([n for n in sys.modules if n.endswith('readers')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize(
    ("file", "old", "new", "stages"),
    [
        ("data_cleaning/reading/readers.py", '(".txt", ".text")', '(".txt", ".text", ".log")', {"documents"}),
        ("data_cleaning/reading/readers.py", "Reads the file as one document.", "A file is one document.", set()),
        ("data_cleaning/recipes.py", "    samples_per_reason: int\n", "    samples_per_reason: int\n    more: int\n",
         {"corpus_report"}),
        ("modeling/rlhf/recipes.py", "    iterations: int\n", "    iterations: int\n    more: int\n",
         {"rlhf_v5/ppo_policy"}),
        ("release/card.py", "This is a research model.", "A research model.", {"bundle"}),
    ],
)  # fmt: skip
def test_an_edit_reaches_the_stages_that_run_it(file, old, new, stages, tmp_path, monkeypatch):
    for package in ("data_cleaning", "modeling", "release"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(source_code, "CHECKOUT", tmp_path)
    before = {key: source_code.code_version_now(stage.module) for key, stage in STAGES.items()}
    edit(tmp_path, file, old, new)
    changed = {key for key, stage in STAGES.items() if source_code.code_version_now(stage.module) != before[key]}
    assert changed == stages
