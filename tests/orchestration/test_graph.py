"""The graph's shape is the paper's figure; the layers hold; the code location loads fast and without torch."""

import ast
import graphlib
import subprocess
import sys

import pytest

from assets import STAGES
from orchestration.stage import SCALE, SNAPSHOT, settings
from tests.conftest import ROOT

PURE = ("data_cleaning", "modeling", "release")


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("package", PURE)
def test_pure_packages_import_no_orchestration(package):
    for path in (ROOT / package).rglob("*.py"):
        forbidden = {"dagster", "assets", "orchestration"} & set(imports(path))
        assert not forbidden, f"{path} imports {forbidden}"


# Wings from left to right: a wing imports wings to its left only, in the order of the paper. gates.py is the right-most.
WINGS = {
    "modeling": (
        {"core"},
        {"dialogues", "pretraining"},
        {"finetuning"},
        {"rlhf"},
        {"safety", "evaluation"},
        {"planning"},
    ),
    "data_cleaning": (
        {"files", "paths", "store_layout", "markdown", "verdict", "snapshots"},
        {"ray_shards"},
        {"recipes", "shards", "documents", "json_lines"},
        {"filters", "reading"},
        {"sources", "dedup", "contamination", "deliveries"},
        {"heldout"},
        {"retractions"},
        {"fates", "report"},
        {"mixture"},
        {"gates"},
    ),
}


def wings_imported(path, package):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == package:
            names = node.module.split(".")[1:2] or [alias.name for alias in node.names]
            yield from names


@pytest.mark.parametrize("package", WINGS)
def test_no_wing_imports_one_to_its_right(package):
    level = {wing: number for number, wings in enumerate(WINGS[package]) for wing in wings}
    for path in (ROOT / package).rglob("*.py"):
        wing = path.relative_to(ROOT / package).parts[0].removesuffix(".py")
        if wing == "__init__":
            continue
        for other in set(wings_imported(path, package)) - {wing}:
            assert level[other] < level[wing], f"{path.relative_to(ROOT)} imports {package}.{other}"


def test_no_package_of_the_corpus_or_the_models_imports_a_later_one():
    for package, later in (("data_cleaning", {"modeling", "release"}), ("modeling", {"release"})):
        for path in (ROOT / package).rglob("*.py"):
            assert not later & set(imports(path)), path


def test_no_circle_of_imports():
    """Those within functions count too: a circle is several modules that are one."""
    files = [path for package in ("assets", "orchestration") for path in (ROOT / package).rglob("*.py")]
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}
    graph = {}
    for name, path in modules.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                inside = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= inside & modules.keys() or {node.module}
        graph[name] = found & modules.keys() - {name}
    list(graphlib.TopologicalSorter(graph).static_order())


def test_data_cleaning_imports_no_torch():
    for path in (ROOT / "data_cleaning").rglob("*.py"):
        assert not {"torch", "transformers"} & set(imports(path)), path


def test_definitions_load_without_torch_from_any_folder(tmp_path):
    code = (
        "import sys, runpy; runpy.run_path(sys.argv[1]);"
        "print([name for name in ('torch', 'transformers', 'trl', 'gradio') if name in sys.modules])"
    )
    script = str(ROOT / "orchestration" / "definitions.py")
    done = subprocess.run(
        [sys.executable, "-c", code, script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def parents(key):
    return {parent.key for _, parent in STAGES[key].inputs}


def test_corpus_is_a_chain_and_models_are_by_scale():
    chain = ["sources", "documents", "language", "quality", "pii", "deduplicated", "decontaminated"]
    for before, after in zip(chain, chain[1:], strict=False):
        assert before in parents(after)
    assert all(STAGES[key].axis == SNAPSHOT for key in chain)
    shared = {key for key, stage in STAGES.items() if stage.axis != SCALE and stage.group != "corpus"}
    assert shared == {"adversarial_prompts"}  # the same split at every scale


def test_rounds_are_unrolled_as_in_the_paper():
    for n in range(1, 6):
        group = f"rlhf_v{n}"
        chat = "sft_model" if n == 1 else f"rlhf_v{n - 1}/policy"
        assert chat in parents(f"{group}/preferences"), "pairs come from the latest chat model"
        assert {f"rlhf_v{i}/preferences" for i in range(1, n + 1)} < parents(f"{group}/helpfulness_reward_model")
        assert "base_model" in parents(f"{group}/policy"), "every version restarts from the base model (3.2.3)"
        earlier = {f"rlhf_v{i}/rejection_samples" for i in range(1, n)}
        assert earlier & parents(f"{group}/rejection_samples") == (earlier if n >= 4 else set())
        assert (f"{group}/ppo_policy" in STAGES) == (n == 5), "PPO in V5 only"
    assert parents("chat_model") >= {"rlhf_v5/ppo_policy", "distilled_answers"}


def test_evaluation_makes_no_model_depend_on_it():
    evaluated = {stage.key for stage in STAGES.values() if stage.group == "evaluation"}
    for stage in STAGES.values():
        if stage.group not in ("evaluation", "release"):
            assert not evaluated & {parent.key for _, parent in stage.inputs}


def test_every_stage_tells_its_section_and_its_purpose():
    for stage in STAGES.values():
        assert stage.description.endswith(".") and stage.paper


def test_the_workspace_loads_by_file_so_that_it_works_from_any_folder():
    assert "python_file" in (ROOT / "workspace.yaml").read_text()
    assert "[tool.dg]" not in (ROOT / "pyproject.toml").read_text(), "dagster would ignore workspace.yaml"


def test_stages_are_compared_by_identity_so_that_the_code_location_loads_fast():
    deepest = STAGES["bundle"]
    assert hash(deepest) == object.__hash__(deepest), "a hash by value walks the graph once for every path through it"


def test_factual_sources_are_seen_as_often_as_the_scale_says(tmp_path, monkeypatch):
    """Paper 2.1: one's own factual source too, unless the scale names it."""
    entry = '[[source]]\nname = "{}"\nuri = "{}.txt"\nlicense = "MIT"\nfactual = {}\n'
    table = [("handbook", "true"), ("gossip", "false"), ("bible-bbe", "true")]
    (tmp_path / "sources.toml").write_text("".join(entry.format(name, name, factual) for name, factual in table))
    monkeypatch.setenv("CRIA_SOURCES", str(tmp_path / "sources.toml"))
    recipe = STAGES["mixture"].recipe(settings(SCALE, "laptop"))
    epochs = dict(recipe.epochs)
    assert epochs["handbook"] == recipe.factual_epochs == 3.0 and epochs["bible-bbe"] == 0.1 and "gossip" not in epochs


def test_the_mixture_knows_which_deliveries_are_full(tmp_path, monkeypatch):
    entry = '[[source]]\nname = "{}"\nuri = "{}.txt"\nlicense = "MIT"\nsnapshot = "{}"\ndelivers = "{}"\n'
    table = [("news", "2026-11", "full"), ("news", "2026-12", "increment"), ("notes", "2026-12", "full")]
    (tmp_path / "sources.toml").write_text("".join(entry.format(name, name, *rest) for name, *rest in table))
    monkeypatch.setenv("CRIA_SOURCES", str(tmp_path / "sources.toml"))
    assert STAGES["mixture"].recipe(settings(SCALE, "laptop")).full_deliveries == (
        ("news", "2026-11"),
        ("notes", "2026-12"),
    )
