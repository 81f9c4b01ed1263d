"""Safety context distillation (paper 4.2.4)."""

from assets.finetuning import prompts
from assets.rlhf import ghost_dialogues, ppo_policy, v5
from orchestration.stage import SCALE, Stage

distilled_answers = Stage(
    "distilled_answers", "modeling.safety.context_distillation", "safety", SCALE, lambda s: s.distillation, "4.2.4, A.4.5",
    "Answers to adversarial prompts under a safety preprompt, kept only where the safety reward model prefers them.",
    (("ppo_policy", ppo_policy), ("safety_reward_model", v5.safety_reward_model), ("prompts", prompts)),
)  # fmt: skip
chat_model = Stage(
    "chat_model", "modeling.safety.chat_model", "safety", SCALE, lambda s: s.distillation.finetune, "4.2.4",
    "The final model: the PPO policy fine-tuned on the distilled answers, without the preprompt; kept if not worse.",
    (("ppo_policy", ppo_policy), ("distilled_answers", distilled_answers), ("rejection_samples", v5.rejection_samples),
     ("ghost_dialogues", ghost_dialogues), ("helpfulness_reward_model", v5.helpfulness_reward_model),
     ("safety_reward_model", v5.safety_reward_model), ("prompts", prompts)),
)  # fmt: skip

STAGES = [distilled_answers, chat_model]
