"""RLHF (paper 3.2): five rounds, unrolled. PPO follows rejection sampling in V5."""

from dataclasses import dataclass

from assets.corpus import dialogues
from assets.finetuning import adversarial_prompts, open_preferences, prompts, ratings, sft_dialogues, sft_model
from assets.pretraining import base_model, mixture
from orchestration.stage import SCALE, Stage


@dataclass(frozen=True)
class Round:
    """The artifacts of one round."""

    preferences: Stage
    helpfulness_reward_model: Stage
    safety_reward_model: Stage
    rejection_samples: Stage
    policy: Stage


def rlhf_round(n: int, earlier: tuple[Round, ...], ghost: dict[str, Stage]) -> Round:
    """Round `n`: pairs of the latest chat model, two reward models on all pairs so far, best of K, a new policy.

    `ghost`: the dialogues for Ghost Attention by role, from V4 on.
    """
    group = f"rlhf_v{n}"
    chat = earlier[-1].policy if earlier else sft_model
    other = earlier[-2].policy if len(earlier) > 1 else sft_model

    def stage(key, module, recipe, paper, description, **inputs) -> Stage:
        return Stage(f"{group}/{key}", f"modeling.rlhf.{module}", group, SCALE, lambda s: recipe(s.rounds[n - 1]), paper,
                     description, tuple(inputs.items()))  # fmt: skip

    preferences = stage(
        "preferences", "preferences", lambda r: r.preferences, "3.2.1",
        "Answers of two model variants in pairs, with the annotator's preference, degree and safety labels.",
        chat=chat, other=other, base=base_model, prompts=prompts,
    )  # fmt: skip
    pairs = {"ratings": ratings, "preferences_0": open_preferences}
    pairs |= {f"preferences_{i + 1}": r.preferences for i, r in enumerate(earlier)} | {f"preferences_{n}": preferences}
    helpfulness_reward_model = stage(
        "helpfulness_reward_model", "reward_model", lambda r: r.helpfulness, "3.2.2",
        "Scores helpfulness; starts from the chat model, with a ranking loss and the preference margin.",
        chat=chat, **pairs,
    )  # fmt: skip
    safety_reward_model = stage(
        "safety_reward_model", "reward_model", lambda r: r.safety, "3.2.2, A.3.4",
        "Scores safety; trained like the helpfulness model, with an auxiliary loss on the safety labels.",
        chat=chat, dialogues=dialogues, adversarial_prompts=adversarial_prompts, prompts=prompts, **pairs,
    )  # fmt: skip
    before = {f"earlier_{i + 1}": r.rejection_samples for i, r in enumerate(earlier)} if n >= 4 else {}
    rejection_samples = stage(
        "rejection_samples", "rejection_sampling", lambda r: r.rejection, "3.2.3",
        "The best of K answers to each prompt by the two reward models; from V4 the best of all rounds so far.",
        chat=chat, helpfulness_reward_model=helpfulness_reward_model, safety_reward_model=safety_reward_model,
        prompts=prompts, **before,
    )  # fmt: skip
    policy = stage(
        "policy", "policy", lambda r: r.policy, "3.2.3",
        "The base model fine-tuned anew on the round's best samples; the policy before, if the new one is worse.",
        base_model=base_model, demonstrations=sft_dialogues, rejection_samples=rejection_samples,
        before=chat, helpfulness_reward_model=helpfulness_reward_model, safety_reward_model=safety_reward_model,
        prompts=prompts, **ghost,
    )  # fmt: skip
    return Round(preferences, helpfulness_reward_model, safety_reward_model, rejection_samples, policy)


rounds: tuple[Round, ...] = ()
for _n in range(1, 4):
    rounds += (rlhf_round(_n, rounds, {}),)
ghost_dialogues = Stage(
    "rlhf_v3/ghost_dialogues", "modeling.rlhf.ghost_attention", "rlhf_v3", SCALE, lambda s: s.ghost, "3.3, A.3.5",
    "Dialogues that obey the instruction of their first message, from the policy that was told it on every turn.",
    (("policy", rounds[-1].policy), ("helpfulness_reward_model", rounds[-1].helpfulness_reward_model),
     ("prompts", prompts), ("mixture", mixture), ("demonstrations", sft_dialogues)),
)  # fmt: skip
for _n in range(4, 6):
    rounds += (rlhf_round(_n, rounds, {"ghost_dialogues": ghost_dialogues}),)
v5 = rounds[-1]

ppo_policy = Stage(
    "rlhf_v5/ppo_policy", "modeling.rlhf.ppo.stage", "rlhf_v5", SCALE, lambda s: s.ppo, "3.2.3",
    "Proximal policy optimization on top of the last rejection-sampling policy, with the piecewise reward.",
    (("policy", v5.policy), ("helpfulness_reward_model", v5.helpfulness_reward_model),
     ("safety_reward_model", v5.safety_reward_model), ("prompts", prompts)),
)  # fmt: skip

of_rounds = [list(vars(r).values()) for r in rounds]
STAGES = [*sum(of_rounds[:3], []), ghost_dialogues, *sum(of_rounds[3:], []), ppo_policy]
