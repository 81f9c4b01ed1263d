from modeling.core import version_names


def test_versions_are_in_training_order_whatever_the_order_of_their_roles():
    roles = ["chat_model", "policy_10", "prompts", "policy_2", "ppo_policy", "base_model", "sft_model", "initial_model"]
    named = version_names.named(roles)
    assert list(named.values()) == ["Base", "Base", "SFT", "RLHF-v2", "RLHF-v10", "PPO", "Chat"]
    assert list(named)[:2] == ["initial_model", "base_model"] and "prompts" not in named


def test_every_name_has_its_own_sentence():
    named = version_names.named(["base_model", "sft_model", "policy_1", "policy_2", "ppo_policy", "chat_model"])
    sentences = [version_names.about(name) for name in named.values()]
    assert all(sentences) and len(set(sentences)) == len(sentences)
    assert version_names.about("somebody's own") == ""
