"""Gates: blocking checks that stop bad data and bad models. Each compares an artifact with what it was made from."""

from assets import corpus, finetuning, pretraining, release, rlhf, safety
from assets import evaluation as evaluated
from orchestration.stage import Gate, Stage


def _gate(stage: Stage, name: str, description: str) -> Gate:
    """The gate `name` is a function in gates.py: of the wing for a stage of modeling, else of the package."""
    package, wing, *_ = stage.module.split(".")
    home = f"{package}.{wing}" if package == "modeling" else package
    return Gate(name, stage, f"{home}.gates:{name}", description)


GATES = [
    _gate(corpus.documents, "every_source_read", "Every fetched source gave documents; most records were readable."),
    *(
        _gate(step, "nothing_lost", "Kept and dropped documents are exactly the parent's, and most were not dropped.")
        for step in (corpus.language, corpus.quality, corpus.pii, corpus.deduplicated, corpus.decontaminated)
    ),
    _gate(pretraining.mixture, "heldout_apart", "No held-out document is trained on; all come from the clean corpus."),
    _gate(pretraining.tokenizer, "exact_round_trip", "Held-out text comes back exactly."),
    _gate(pretraining.base_model, "better_than_unigram", "Predicts its tokens better than their frequencies do."),
    _gate(finetuning.prompts, "prompts_apart", "No test prompt is among the RL prompts."),
    _gate(finetuning.sft_model, "answers_better_than_base", "Unseen demonstrations are likelier than under the base."),
    *(
        gate
        for r in rlhf.rounds
        for gate in (
            _gate(
                r.preferences, "pairs_are_sound", "Pairs answer the parent's prompts and never prefer unsafe to safe."
            ),
            _gate(r.helpfulness_reward_model, "ranks_pairs", "Finite, differing scores; not worse than a coin."),
            _gate(r.safety_reward_model, "ranks_pairs", "Finite, differing scores; not worse than a coin."),
            _gate(r.rejection_samples, "best_of_k", "What was kept is the best candidate of each prompt."),
            _gate(r.policy, "learned_its_samples", "Likelier to give the best samples than the base model."),
        )
    ),
    _gate(rlhf.ppo_policy, "not_below_its_start", "No lower on held-out prompts than the policy it began with."),
    _gate(safety.distilled_answers, "kept_only_the_safer", "Every kept answer scores safer than the one it replaces."),
    _gate(safety.chat_model, "learned_the_distilled", "The kept safe answers did not become less likely."),
    _gate(evaluated.fitted_judge, "agrees_with_people", "Ranks unseen human labels, prefers true answers to others."),
    _gate(evaluated.win_rates, "every_version_judged", "Every version of the generations was judged on every prompt."),
    _gate(release.bundle, "loads_as_released", "transformers loads the bundle and its logits equal the chat model's."),
]
