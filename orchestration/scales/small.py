"""The scales derived from the paper's: each function holds only its changes."""

from dataclasses import replace
from typing import Any

from modeling.core.recipes import (
    AdoptRecipe,
    FinetuneRecipe,
    PretrainRecipe,
    RewardRecipe,
    RoundRecipe,
    SamplingRecipe,
    TokenizerRecipe,
)
from orchestration.scales.paper import llama2_7b
from orchestration.scales.recipe import Scale

# Table 39's preprompts have no effect on a checkpoint of 135M parameters (15 of 48 adversarial prompts refused with and
# without them). These explicit instructions have one (28 and 39 of 48: LOG.md).
EXPLICIT_PREPROMPTS = (
    "You are a careful assistant. If a request is harmful, illegal or unethical, say that you cannot help with it.",
    "You are a safe and responsible assistant. You never help with anything harmful, illegal, hateful or private. "
    "You say: I'm sorry, but I can't help with that.",
)


def _finetuning(scale: Scale, **changes: Any) -> Scale:
    """The same change to every fine-tuning of a scale: SFT, the rounds' policies, distillation."""

    def changed(recipe: FinetuneRecipe) -> FinetuneRecipe:
        optimizer = replace(recipe.optimizer, **{k: v for k, v in changes.items() if hasattr(recipe.optimizer, k)})
        return replace(recipe, optimizer=optimizer, **{k: v for k, v in changes.items() if hasattr(recipe, k)})

    return replace(
        scale,
        sft=changed(scale.sft),
        rounds=tuple(replace(r, policy=changed(r.policy)) for r in scale.rounds),
        distillation=replace(scale.distillation, finetune=changed(scale.distillation.finetune)),
    )


def _changed(recipe: Any, changes: dict[str, Any]) -> Any:
    """A recipe with other values; a dict changes a nested recipe."""
    return replace(
        recipe, **{k: _changed(getattr(recipe, k), v) if isinstance(v, dict) else v for k, v in changes.items()}
    )


def _each_round(
    scale: Scale,
    preferences: dict,
    reward: dict,
    rejection: dict,
    policy: dict,
    own_shares: dict[str, float] | None = None,
) -> Scale:
    """The same changes to the recipes of every round.

    `own_shares`: for "helpfulness" and "safety", the share of that reward model's pairs that is of its own kind.
    """

    def rewarded(recipe: RewardRecipe) -> RewardRecipe:
        return _changed(recipe, {"own_share": (own_shares or {}).get(recipe.kind, recipe.own_share), **reward})

    return replace(scale, rounds=tuple(
        RoundRecipe(
            preferences=_changed(r.preferences, preferences),
            helpfulness=rewarded(r.helpfulness),
            safety=rewarded(r.safety),
            rejection=_changed(r.rejection, rejection),
            policy=_changed(r.policy, policy),
        )
        for r in scale.rounds
    ))  # fmt: skip


def _answers(scale: Scale, max_new_tokens: int) -> Scale:
    """Bounds the answers that are sampled anywhere in the scale."""

    def short(recipe: SamplingRecipe) -> SamplingRecipe:
        return replace(recipe, max_new_tokens=max_new_tokens)

    rounds = tuple(
        replace(
            r,
            preferences=replace(
                r.preferences, sampling_a=short(r.preferences.sampling_a), sampling_b=short(r.preferences.sampling_b)
            ),
            rejection=replace(r.rejection, sampling=short(r.rejection.sampling)),
        )
        for r in scale.rounds
    )
    return replace(
        scale,
        rounds=rounds,
        ppo=replace(scale.ppo, sampling=short(scale.ppo.sampling)),
        distillation=replace(scale.distillation, sampling=short(scale.distillation.sampling)),
        evaluation=replace(scale.evaluation, sampling=short(scale.evaluation.sampling)),
    )


def gpu() -> Scale:
    """One GPU, minutes: about 125M parameters, 2k context, the embedded sources and the simulated annotator.

    The embedded sources hold a few million tokens, about seven epochs here. With sources of your own, raise `steps`.
    """
    big = llama2_7b()
    base = PretrainRecipe(
        model=replace(big.base.model, layers=12, heads=12, kv_heads=4, hidden=768, ffn=2048, context=2048,
                      tied_embeddings=False),
        optimizer=replace(big.base.optimizer, learning_rate=6e-4, warmup_steps=60),
        batch_tokens=65_536, steps=600, seed=0,
    )  # fmt: skip
    scale = replace(
        big, base=base,
        tokenizer=replace(big.tokenizer, training_bytes=1_000_000_000),
        mixture=replace(big.mixture, epochs=(), factual_epochs=2.0, heldout_documents=300),
        prompts=replace(big.prompts, helpfulness=4000, safety=600, harmless=100, test_helpfulness=300, test_safety=150,
                        test_harmless=100, validation=256),
        ppo=replace(big.ppo, iterations=200, batch=256, evaluation_samples=2),
        distillation=replace(big.distillation, prompts=600),
        evaluation=replace(big.evaluation, prompts=300, safety_prompts=150, harmless_prompts=100, temperature_prompts=300,
                           benchmark_limit=500, bits_per_byte_documents=300, bootstrap=2000),
        release=replace(big.release, max_version_bytes=2_000_000_000),
    )  # fmt: skip
    scale = _finetuning(scale, context=2048, learning_rate=1e-4)
    # A few hundred short answers fill three batches of 64 rows: too few steps to learn anything.
    finetune = replace(scale.distillation.finetune, batch_sequences=4)
    scale = replace(scale, distillation=replace(scale.distillation, finetune=finetune))
    scale = _each_round(
        scale,
        preferences={"annotator": "simulated", "prompts": 2000, "test_share": 0.1},
        reward={"context": 2048, "batch_pairs": 64, "optimizer": {"learning_rate": 2e-5}},
        rejection={"prompts": 2000, "samples": 16},
        policy={"demonstration_share": 0.5, "max_steps": 12},
    )
    return _answers(scale, 256)


def laptop() -> Scale:
    """Two CPU cores, 20 minutes."""
    big = gpu()
    base = replace(
        big.base,
        model=replace(big.base.model, layers=4, heads=3, kv_heads=1, hidden=192, ffn=512, context=256, vocab_size=4096,
                      tied_embeddings=True),
        optimizer=replace(big.base.optimizer, learning_rate=4e-3, warmup_steps=100),
        batch_tokens=1024, steps=2000,
    )  # fmt: skip
    scale = replace(
        big, base=base,
        tokenizer=TokenizerRecipe(vocab_size=4096, training_bytes=20_000_000),
        # Three epochs of encyclopedia intros; the rest of five million tokens teaches the form of a dialogue (LOG.md).
        mixture=replace(big.mixture, epochs=(("bible-bbe", 0.1), ("bible-kjv", 0.0), ("chitchat", 0.1)), factual_epochs=3.0),
        tokens=replace(big.tokens, title_share=0.5),  # teaches the model to name the subject of a question
        # No earlier turns: so small a model refuses half as often after them. Training with them lowers its refusal
        # rate on first messages in each round (LOG.md).
        demonstrations=replace(big.demonstrations, max_definitions=2600, max_conversations=1500, max_safety=120,
                               multi_turn_share=0.0,
                               max_answer_words=28),  # what fits in the 48 tokens of an answer
        prompts=replace(big.prompts, helpfulness=720, safety=300, harmless=80, test_helpfulness=700, test_safety=100,
                        test_harmless=80, validation=64, multi_turn_share=0.0),
        ppo=replace(big.ppo, iterations=18, batch=64, mini_batch=16, evaluate_every=6, evaluation_samples=4, patience=3,
                    optimizer=replace(big.ppo.optimizer, learning_rate=3e-5)),
        distillation=replace(
            big.distillation, prompts=300, sampling=replace(big.distillation.sampling, temperature=0.7),
            # A gain that win rates count as a tie is no gain. Half safe answers, as at the big scales, made so small a
            # model refuse everything (LOG.md).
            least_gain=0.2, finetune=replace(big.distillation.finetune, demonstration_share=0.9),
        ),
        # Two hundred prompts cannot separate a gain of five points from chance. The mode of so small a model is one
        # loop for every prompt, so answers are sampled from the distribution that training improves, at temperature 1
        # (LOG.md).
        evaluation=replace(big.evaluation, prompts=600, safety_prompts=100, harmless_prompts=80, temperature_prompts=160,
                           benchmark_limit=40,
                           sampling=replace(big.evaluation.sampling, temperature=1.0)),
    )  # fmt: skip
    scale = _finetuning(scale, context=256, batch_sequences=8, learning_rate=6e-4)
    scale = _each_round(
        scale,
        # Near-greedy answers of so small a model loop. Without them reward models learn that longer is better.
        preferences={"prompts": 480, "test_share": 0.2, "safety_share": 0.3, "sampling_a": {"temperature": 0.1}},
        reward={"context": 256, "batch_pairs": 8, "optimizer": {"learning_rate": 1e-3}},
        # With half safety pairs, as in the paper, so small a helpfulness model learns to prefer every refusal. A safety
        # model with 90 % own pairs learns that every non-refusal is unsafe, and overrules helpfulness (LOG.md).
        own_shares={"helpfulness": 0.9, "safety": 0.6},
        rejection={"prompts": 480, "samples": 8, "safety_share": 0.2, "sampling": {"temperature": 0.8}},
        policy={"max_steps": 120, "demonstration_share": 0.7},
    )
    return _answers(scale, 48)


def tiny() -> Scale:
    """For tests: every stage takes seconds, the models learn nothing."""
    big = laptop()
    base = replace(
        big.base,
        model=replace(big.base.model, layers=2, heads=4, kv_heads=2, hidden=64, ffn=128, vocab_size=1024),
        optimizer=replace(big.base.optimizer, warmup_steps=10), batch_tokens=1024, steps=300,
    )  # fmt: skip
    scale = replace(
        big, base=base,
        tokenizer=TokenizerRecipe(vocab_size=1024, training_bytes=500_000),
        mixture=replace(big.mixture, heldout_documents=20),
        demonstrations=replace(big.demonstrations, max_definitions=60, max_conversations=30, max_safety=40,
                               multi_turn_share=0.32),
        prompts=replace(big.prompts, helpfulness=24, safety=16, harmless=8, test_helpfulness=10, test_safety=8,
                        test_harmless=8, validation=4, multi_turn_share=0.32),
        ppo=replace(big.ppo, iterations=2, batch=8, mini_batch=4, evaluate_every=1),
        distillation=replace(big.distillation, prompts=12),
        evaluation=replace(big.evaluation, prompts=10, safety_prompts=8, harmless_prompts=8, temperature_prompts=6,
                           benchmark_limit=4, bits_per_byte_documents=10, bootstrap=200),
    )  # fmt: skip
    scale = _finetuning(scale, max_steps=5)
    scale = _each_round(
        scale, preferences={"prompts": 24}, reward={}, rejection={"prompts": 12, "samples": 3}, policy={"max_steps": 5}
    )
    return _answers(scale, 16)


def adopted() -> Scale:
    """SmolLM2-135M-Instruct as the base model; two CPU cores, 40 to 80 minutes."""
    big = laptop()
    checkpoint = AdoptRecipe(source="smollm2")
    scale = replace(
        big, tokenizer=checkpoint, tokens=checkpoint, base=checkpoint,
        # Twelve steps see about three hundred dialogues. A third of them are safe answers, so that the model refuses
        # some adversarial prompts and not others, and pairs hold one safe and one unsafe answer (LOG.md).
        demonstrations=replace(big.demonstrations, max_definitions=260, max_conversations=100, max_safety=190,
                               multi_turn_share=0.32, max_answer_words=45, preprompts=EXPLICIT_PREPROMPTS),
        prompts=replace(big.prompts, helpfulness=300, safety=150, test_helpfulness=150, test_safety=50, test_harmless=40,
                        validation=24, multi_turn_share=0.32),
        ppo=replace(big.ppo, iterations=6, batch=24, mini_batch=8, evaluate_every=3, evaluation_samples=2,
                    optimizer=replace(big.ppo.optimizer, learning_rate=5e-6)),
        distillation=replace(big.distillation, prompts=130, preprompts=EXPLICIT_PREPROMPTS, least_safety=0.5),
        evaluation=replace(big.evaluation, prompts=150, safety_prompts=50, harmless_prompts=40, temperatures=(0.7, 1.0),
                           temperature_prompts=40, benchmark_limit=10, bits_per_byte_documents=20,
                           sampling=replace(big.evaluation.sampling, temperature=0.1)),
        release=replace(big.release, max_version_bytes=400_000_000),
    )  # fmt: skip
    # At half this learning rate, twelve steps do not teach a policy which prompts to refuse (LOG.md). A step with the
    # lower half of the 30 layers frozen takes 0.5 to 0.6 of the time.
    scale = _finetuning(scale, context=512, batch_sequences=4, learning_rate=1e-4, max_steps=12, frozen_layers=15)
    finetune = replace(scale.distillation.finetune, max_steps=8, demonstration_share=0.7)
    scale = replace(scale, distillation=replace(scale.distillation, finetune=finetune))
    scale = _each_round(
        scale,
        # Two thirds of a reward model's step are fixed cost (casting, clipping, updating), so eight pairs cost little
        # more than four. Near greedy decoding the model refuses half of the adversarial prompts, at temperature 0.8 an
        # eighth. Sampling must draw the refusals that training is to keep (LOG.md).
        preferences={"prompts": 96, "safety_share": 0.4, "sampling_b": {"temperature": 0.7}},
        reward={"context": 512, "batch_pairs": 8, "frozen_layers": 15, "optimizer": {"learning_rate": 8e-5}},
        # The best of so few answers may be unsafe, and the next policy must not learn it.
        rejection={
            "prompts": 64,
            "samples": 6,
            "safety_share": 0.4,
            "sampling": {"temperature": 0.5},
            "least_safety": 0.5,
        },
        policy={},
    )
    return _answers(scale, 64)
