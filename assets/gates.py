"""Gates: blocking checks that stop bad data and bad models. Each compares an artifact with its inputs."""

from assets import corpus, finetuning, pretraining, release, rlhf, safety
from assets import evaluation as evaluated
from orchestration.stage import Gate, Stage


def _gate(stage: Stage, name: str, description: str) -> Gate:
    """The gate of a stage: function `name` in gates.py of the stage's wing (modeling) or package (the others)."""
    package, wing, *_ = stage.module.split(".")
    home = f"{package}.{wing}" if package == "modeling" else package
    return Gate(name, stage, f"{home}.gates:{name}", description)


GATES = [
    _gate(corpus.documents, "every_source_read", "Every fetched source gave documents; most records were readable."),
    *(
        _gate(step, "nothing_lost", "Kept and dropped documents are exactly the parent's, and most are kept.")
        for step in (corpus.language, corpus.quality, corpus.pii, corpus.deduplicated, corpus.decontaminated)
    ),
    _gate(pretraining.mixture, "heldout_apart", "No held-out document is trained on; all come from the clean corpus."),
    _gate(pretraining.tokenizer, "exact_round_trip", "Encoding and decoding returns held-out text exactly."),
    _gate(pretraining.base_model, "better_than_its_start", "Predicts its tokens better than what it started from."),
    _gate(finetuning.adversarial_prompts, "paraphrases_apart", "No test prompt is a paraphrase of a training prompt."),
    _gate(finetuning.prompts, "prompts_apart", "RL, validation and test prompts are disjoint."),
    _gate(finetuning.sft_model, "answers_better_than_base", "Test demonstrations are likelier than under the base."),
    *(
        gate
        for r in rlhf.rounds
        for gate in (
            _gate(
                r.preferences, "pairs_are_sound", "Pairs answer the parent's prompts and never prefer unsafe to safe."
            ),
            _gate(r.helpfulness_reward_model, "ranks_pairs", "Finite, differing scores; accuracy not below chance."),
            _gate(r.safety_reward_model, "ranks_pairs", "Finite, differing scores; accuracy not below chance."),
            _gate(r.rejection_samples, "best_of_k", "The sample kept of each prompt is its best candidate."),
            _gate(r.policy, "learned_its_samples", "The best samples are likelier than under the base model."),
        )
    ),
    _gate(rlhf.ghost_dialogues, "instruction_stands_once", "Only the first message instructs; the last answer obeys."),
    _gate(rlhf.ppo_policy, "not_below_its_start", "No less reward and no more refusals than before PPO."),
    _gate(safety.distilled_answers, "kept_only_the_safer", "Every kept answer scores safer than the one it replaces."),
    _gate(safety.chat_model, "learned_the_distilled", "The kept safe answers did not become less likely."),
    _gate(evaluated.fitted_judge, "agrees_with_people", "Agrees with held-out labels; prefers true answers."),
    _gate(evaluated.scored_answers, "every_version_judged", "Every answer of the generations was read by every rater."),
    _gate(evaluated.win_rates, "controls_lose", "No constant sentence and no refusal of everything beats Base."),
    _gate(release.bundle, "loads_as_released", "transformers loads the bundle and its logits equal the chat model's."),
]
