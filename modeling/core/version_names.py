"""What the versions of the chat model are called, in every table, in the release and in the chat (Figure 11)."""

import re
from collections.abc import Collection

BASE = ("initial_model", "base_model")  # the first that has weights is Base: an adopted checkpoint, else the pretrained
CHOICE = "choice.json"  # in the artifact temperature_curve: name of a version → its best temperature
ABOUT = {
    "Base": "The model at the start: the checkpoint or, at scales without one, the pretrained model.",
    "SFT": "Supervised fine-tuning on demonstrations only, before any preference was learned.",
    "PPO": "After PPO against both reward models, before safety context distillation.",
    "Chat": "The release: five rounds of RLHF, PPO, then safety context distillation.",
}


def named(roles: Collection[str]) -> dict[str, str]:
    """Returns role → name of the versions among `roles`, in training order. Both roles of BASE are named Base."""
    rounds = sorted(int(role.split("_")[1]) for role in roles if re.fullmatch(r"policy_\d+", role))
    names = {
        **dict.fromkeys(BASE, "Base"),
        "sft_model": "SFT",
        **{f"policy_{number}": f"RLHF-v{number}" for number in rounds},
        "ppo_policy": "PPO",
        "chat_model": "Chat",
    }
    return {role: name for role, name in names.items() if role in roles}


def about(name: str) -> str:
    """Returns one sentence on how the version of this name was made; "" for an unknown name."""
    number = re.fullmatch(r"RLHF-v(\d+)", name)
    if number:
        return f"After round {number[1]} of RLHF by rejection sampling."
    return ABOUT.get(name, "")
