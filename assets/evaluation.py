"""Evaluation (paper 2.3, 3.4, 4.4): separate from training, so that a failing evaluation never loses a model."""

from assets.corpus import benchmarks, dialogues
from assets.corpus import embedder as judge
from assets.finetuning import prompts, ratings, sft_model
from assets.pretraining import base_model, initial_model, mixture, tokenizer, tokens
from assets.rlhf import ppo_policy, rounds, v5
from assets.safety import chat_model
from orchestration import thresholds
from orchestration.stage import SCALE, Stage


def _evaluation(key, module, paper, description, recipe=lambda s: s.evaluation, **inputs) -> Stage:
    return Stage(key, module, "evaluation", SCALE, recipe, paper, description, tuple(inputs.items()))


policies = {f"policy_{i + 1}": r.policy for i, r in enumerate(rounds)}
versions = {
    "initial_model": initial_model, "base_model": base_model, "sft_model": sft_model, **policies,
    "ppo_policy": ppo_policy, "chat_model": chat_model,
}  # fmt: skip

bits_per_byte = _evaluation(
    "bits_per_byte", "modeling.evaluation.bits_per_byte", "2.2, Figure 5",
    "Bits per byte on held-out text by source, compared with general compressors given the same training text.",
    mixture=mixture, initial_model=initial_model, base_model=base_model,
)  # fmt: skip
benchmark_scores = _evaluation(
    "benchmark_scores", "modeling.evaluation.benchmarks", "2.3",
    "Academic benchmarks from local files through lm-eval, compared with chance.",
    initial_model=initial_model, base_model=base_model, chat_model=chat_model, benchmarks=benchmarks,
)  # fmt: skip
benchmark_contamination = _evaluation(
    "benchmark_contamination", "modeling.evaluation.benchmark_contamination", "A.6, Table 51",
    "Benchmark questions whose tokens the training tokens contain too, and whether that raised a score.",
    recipe=lambda s: thresholds.contamination_test(),
    tokens=tokens, tokenizer=tokenizer, benchmark_scores=benchmark_scores,
)  # fmt: skip
fitted_judge = _evaluation(
    "fitted_judge", "modeling.evaluation.judge.stage", "3.4",
    "The independent judge: probes on human harm and refusal labels, with their agreement on held-out labels.",
    judge=judge, dialogues=dialogues, prompts=prompts,
)  # fmt: skip
temperature_curve = _evaluation(
    "temperature_curve", "modeling.evaluation.temperature", "3.2.3, Figures 8 and 21",
    "Each version's best sampling temperature on validation prompts; win rates and variety by temperature.",
    **versions, prompts=prompts, judge=judge, fitted_judge=fitted_judge,
    helpfulness_reward_model=v5.helpfulness_reward_model,
)  # fmt: skip
generations = _evaluation(
    "generations", "modeling.evaluation.generations", "3.4",
    "Every version's answers to the held-out prompts at its best temperature, and those of controls without a model.",
    **versions, prompts=prompts, temperature_curve=temperature_curve,
)  # fmt: skip
scored_answers = _evaluation(
    "scored_answers", "modeling.evaluation.scored_answers", "3.4",
    "Every answer as the reward models, the independent judge and the rules read it.",
    generations=generations, judge=judge, fitted_judge=fitted_judge,
    helpfulness_reward_model=v5.helpfulness_reward_model, safety_reward_model=v5.safety_reward_model,
)  # fmt: skip
win_rates = _evaluation(
    "win_rates", "modeling.evaluation.win_rates", "3.4, Figure 11",
    "Win rates of versions and controls against Base, SFT and the version before, by reward models and judge.",
    scored_answers=scored_answers,
)  # fmt: skip
answer_rates = _evaluation(
    "answer_rates", "modeling.evaluation.answer_rates", "4.4, 4.2.3",
    "Violations, refusals, false refusals, fluency, requests obeyed and length, each apart, with paired tests.",
    scored_answers=scored_answers,
)  # fmt: skip
ghost_attention = _evaluation(
    "ghost_attention", "modeling.evaluation.ghost_attention", "3.3, A.3.5, Table 30, Figure 10",
    "How often an instruction of the first message is obeyed at later turns, before and after Ghost Attention.",
    recipe=lambda s: s.ghost_evaluation,
    initial_model=initial_model, base_model=base_model, sft_model=sft_model, policy_3=rounds[2].policy,
    policy_5=v5.policy, chat_model=chat_model, prompts=prompts,
)  # fmt: skip
reward_report = _evaluation(
    "reward_report", "modeling.evaluation.reward_report", "3.2.2, Tables 7 and 8, Figure 6",
    "Accuracy of every round's reward models on held-out pairs, by degree of preference.",
    ratings=ratings,
    **{f"preferences_{i + 1}": r.preferences for i, r in enumerate(rounds)},
    **{f"helpfulness_reward_model_{i + 1}": r.helpfulness_reward_model for i, r in enumerate(rounds)},
    **{f"safety_reward_model_{i + 1}": r.safety_reward_model for i, r in enumerate(rounds)},
)  # fmt: skip

STAGES = [
    bits_per_byte, benchmark_scores, benchmark_contamination, fitted_judge, temperature_curve, generations,
    scored_answers, win_rates, answer_rates, ghost_attention, reward_report,
]  # fmt: skip
