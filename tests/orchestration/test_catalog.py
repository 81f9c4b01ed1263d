"""Every asset says who answers for it, what it is and where its code lies; which scale is what stands where one is picked."""

import ast
from pathlib import Path

import dagster as dg
import pytest

from assets import EVERY, STAGES
from modeling.core.recipes import AdoptRecipe
from modeling.planning.sizes import parameters
from modeling.pretraining.model import count_parameters_on_meta
from orchestration import catalog, scales
from orchestration.definitions import defs

SPECS = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


@pytest.mark.parametrize("key", EVERY)
def test_an_asset_has_an_owner_tags_kinds_and_a_link_to_its_run(key):
    spec, stage = SPECS[key], EVERY[key]
    assert len(spec.owners) == 1 and spec.owners[0].startswith("team:")
    assert spec.kinds & {"python", "pytorch"}
    assert spec.tags["makes"] in ("data", "model", "measures", "release")
    assert any(tag.startswith("paper/") for tag in spec.tags)
    (link,) = spec.metadata["dagster/code_references"].code_references
    tree = ast.parse(Path(link.file_path).read_text())
    (run,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "run")
    assert link.line_number == run.lineno and link.label == f"{stage.module}.run"


def test_models_are_told_from_what_is_measured_of_them():
    by = {what: {key for key, spec in SPECS.items() if spec.tags["makes"] == what} for what in ("model", "release")}
    assert {"base_model", "sft_model", "rlhf_v5/ppo_policy", "rlhf_v1/safety_reward_model", "chat_model"} < by["model"]
    assert by["release"] == {"bundle"} and not by["model"] & {"mixture", "win_rates", "rlhf_v1/preferences"}
    assert set(SPECS["rlhf_v1/safety_reward_model"].tags) >= {"paper/3.2.2"}


def test_another_owner_is_named_in_the_environment(monkeypatch):
    stage = STAGES["mixture"]
    monkeypatch.setenv("CRIA_OWNER", "ml@example.org, team:llm")
    assert catalog.owners(stage) == ["ml@example.org", "team:llm"]
    monkeypatch.setenv("CRIA_OWNER", "somebody")
    with pytest.raises(ValueError, match="CRIA_OWNER names 'somebody': write an e-mail address, or team:NAME"):
        catalog.owners(stage)


@pytest.mark.parametrize("name", scales.SCALES)
def test_the_job_says_which_scale_is_what(name):
    described = defs.resolve_job_def("model").description
    (row,) = (line for line in described.splitlines() if line.startswith(f"| `{name}` |"))
    base = scales.scale(name).base
    if isinstance(base.model, AdoptRecipe):
        assert f"from `{base.model.source}`" in row
    else:
        assert parameters(base.model) == count_parameters_on_meta(base.model)
        assert f"{base.model.context:,}" in row
    assert ("several GPUs" in row) == name.endswith("b")


def test_parameters_are_shown_as_people_say_them():
    described = defs.resolve_job_def("model").description
    for name, said in (
        ("scratch", "2.4M | 256 | 2M tokens"),
        ("7b", "6.7B | 4,096 | 2.1T"),
        ("70b", "69B | 4,096 | 2.1T"),
    ):
        assert f"| `{name}` | {said}" in described


def test_the_catalogue_takes_no_key_twice():
    assert len(SPECS) == len(EVERY) and all(isinstance(spec, dg.AssetSpec) for spec in SPECS.values())
