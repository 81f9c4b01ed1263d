"""Names and order of the versions, the checkpoint that may be Base, and what each version is compared with."""

import pytest

from modeling.evaluation import versions

ROLES = ("base_model", "sft_model", "policy_2", "policy_10", "ppo_policy", "chat_model")


def folders(tmp_path, *roles):
    return {role: tmp_path / role for role in roles}


def test_versions_are_named_and_ordered_as_trained(tmp_path):
    inputs = folders(tmp_path, *reversed(ROLES))
    found = versions.version_folders(inputs)
    assert list(found) == ["Base", "SFT", "RLHF-v2", "RLHF-v10", "PPO", "Chat"]
    assert found["Base"] == inputs["base_model"] and found["RLHF-v10"] == inputs["policy_10"]


@pytest.mark.parametrize("missing", ["base_model", "sft_model"])
def test_what_is_needed_is_named(tmp_path, missing):
    with pytest.raises(ValueError, match="Needs base_model, sft_model and at least one later version"):
        versions.version_folders(folders(tmp_path, *(role for role in ROLES if role != missing)))
    with pytest.raises(ValueError, match="later version"):
        versions.version_folders(folders(tmp_path, "base_model", "sft_model"))


def test_base_is_the_checkpoint_where_there_is_one(tmp_path):
    inputs = folders(tmp_path, *ROLES, "initial_model")
    inputs["initial_model"].mkdir()
    assert versions.version_folders(inputs)["Base"] == inputs["base_model"]  # the folder holds no weights
    (inputs["initial_model"] / "model.safetensors").touch()
    assert versions.version_folders(inputs)["Base"] == inputs["initial_model"]


def test_baselines_are_base_sft_and_the_version_before():
    names = ["Base", "SFT", "RLHF-v1", "RLHF-v2", "Chat"]
    assert [versions.baselines(name, names) for name in names] == [
        [], ["Base"], ["Base", "SFT"], ["Base", "SFT", "RLHF-v1"], ["Base", "SFT", "RLHF-v2"],
    ]  # fmt: skip
    assert versions.baselines("Constant sentence", names) == ["Base", "SFT"]
