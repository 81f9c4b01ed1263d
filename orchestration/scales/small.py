"""Scales derived from the paper's that begin with random weights: one GPU, two CPU cores, tests."""

from dataclasses import replace

from modeling.core.recipes import PretrainRecipe, TokenizerRecipe
from orchestration.scales.changes import answers, each_round, finetuning, ghost_evaluation, selecting
from orchestration.scales.paper import llama2_7b
from orchestration.scales.recipe import Scale


def gpu() -> Scale:
    """One GPU, minutes: about 125M parameters, 2k context, the embedded sources and the simulated annotator.

    The embedded sources hold a few million tokens, about seven epochs here. With sources of your own, raise `steps`.
    """
    big = llama2_7b()
    base = PretrainRecipe(
        model=replace(big.base.model, layers=12, heads=12, kv_heads=4, hidden=768, ffn=2048, context=2048,
                      tied_embeddings=False),
        optimizer=replace(big.base.optimizer, learning_rate=6e-4, warmup_steps=60),
        batch_tokens=65_536, steps=600, frozen_layers=0, seed=0,
    )  # fmt: skip
    scale = replace(
        big, base=base,
        tokenizer=replace(big.tokenizer, training_bytes=1_000_000_000),
        mixture=replace(big.mixture, epochs=(), factual_epochs=2.0, heldout_share=0.03),
        prompts=replace(big.prompts, helpfulness=4000, safety=600, harmless=100, test_helpfulness=300, test_safety=150,
                        test_harmless=100, validation=256),
        ratings=replace(big.ratings, batch=500),
        ppo=replace(big.ppo, iterations=200, batch=256, evaluation_samples=2),
        # Rules cannot check a role, and so small a model hardly takes one.
        ghost=replace(big.ghost, dialogues=400, unchecked_share=0.1, combined_share=0.2),
        ghost_evaluation=ghost_evaluation(big, 64, ((6, 100), (20, 20)), control_dialogues=20),
        distillation=replace(big.distillation, prompts=600),
        evaluation=replace(big.evaluation, prompts=300, safety_prompts=150, harmless_prompts=100, temperature_prompts=300,
                           benchmark_limit=500, bits_per_byte_documents=300, bootstrap=2000),
        release=replace(big.release, max_version_bytes=2_000_000_000),
    )  # fmt: skip
    scale = finetuning(scale, context=2048, learning_rate=1e-4)
    # A few hundred short answers fill three batches of 64 rows: too few steps to learn anything.
    finetune = replace(scale.distillation.finetune, batch_sequences=4)
    scale = replace(scale, distillation=replace(scale.distillation, finetune=finetune))
    scale = each_round(
        scale,
        preferences={"annotator": "simulated", "prompts": 2000, "test_share": 0.1},
        reward={"context": 2048, "batch_pairs": 64, "optimizer": {"learning_rate": 2e-5}},
        rejection={"prompts": 2000, "samples": 16},
        policy={"demonstration_share": 0.5, "max_steps": 12},
    )
    return answers(selecting(scale, 256), 256)


def scratch() -> Scale:
    """2.4M parameters from random weights; two CPU cores, 20 minutes."""
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
        demonstrations=replace(big.demonstrations, max_definitions=2600, max_conversations=1500, max_safety=120, max_twins=40,
                               multi_turn_share=0.0, max_everyday=0,
                               max_answer_words=28),  # what fits in the 48 tokens of an answer
        # So small a model answers no everyday request, and obeys no constraint.
        prompts=replace(big.prompts, helpfulness=720, safety=300, harmless=80, test_helpfulness=700, test_safety=100,
                        test_harmless=80, everyday_share=0.0, verifiable_share=0.0, borderline_share=0.0,
                        after_refusal_share=0.0, validation=64, multi_turn_share=0.0),
        open_preferences=replace(big.open_preferences, pairs=0),  # of answers such as so small a model never gives
        ratings=replace(big.ratings, batch=20, test_share=0.2),
        # A few hundred answers teach a critic nothing: four answers a prompt are each other's baseline.
        ppo=replace(big.ppo, iterations=18, batch=64, samples=4, mini_batch=16, evaluate_every=6, evaluation_samples=4,
                    patience=3, baseline="leave-one-out", critic_warmup=0, gae_lambda=1.0, max_kl=15.0,
                    optimizer=replace(big.ppo.optimizer, learning_rate=3e-5)),
        ghost=replace(big.ghost, dialogues=8, turns=2, samples=2, unchecked_share=0.0),
        ghost_evaluation=ghost_evaluation(big, 24, ((2, 8),), control_dialogues=4),
        distillation=replace(
            big.distillation, prompts=300, sampling=replace(big.distillation.sampling, temperature=0.7),
            # A gain that win rates count as a tie is no gain. Half safe answers, as at the big scales, made so small a
            # model refuse everything (LOG.md).
            least_gain=0.2, finetune=replace(big.distillation.finetune, demonstration_share=0.9),
        ),
        # Two hundred prompts cannot separate a gain of five points from chance.
        evaluation=replace(big.evaluation, prompts=600, safety_prompts=100, harmless_prompts=80, round_share=0.5,
                           temperature_prompts=160, benchmarks=("piqa",), benchmark_limit=200),
    )  # fmt: skip
    scale = finetuning(scale, context=256, batch_sequences=8, learning_rate=6e-4)
    scale = each_round(
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
    return answers(selecting(scale, 64, temperature=1.0), 48)


def tiny() -> Scale:
    """For tests: every stage takes seconds, the models learn nothing."""
    big = scratch()
    base = replace(
        big.base,
        model=replace(big.base.model, layers=2, heads=4, kv_heads=2, hidden=64, ffn=128, vocab_size=1024),
        optimizer=replace(big.base.optimizer, warmup_steps=10), batch_tokens=1024, steps=300,
    )  # fmt: skip
    scale = replace(
        big, base=base,
        tokenizer=TokenizerRecipe(vocab_size=1024, training_bytes=500_000),
        demonstrations=replace(big.demonstrations, max_definitions=60, max_conversations=30, max_everyday=20, max_safety=40,
                               max_twins=10,
                               multi_turn_share=0.32),
        prompts=replace(big.prompts, helpfulness=24, safety=16, harmless=8, test_helpfulness=10, test_safety=8,
                        test_harmless=8, everyday_share=0.4, verifiable_share=0.2, borderline_share=0.3,
                        after_refusal_share=0.3, validation=4, multi_turn_share=0.32),
        ratings=replace(big.ratings, batch=4),
        ppo=replace(big.ppo, iterations=2, batch=8, mini_batch=4, evaluate_every=1),
        ghost=replace(big.ghost, dialogues=12),
        ghost_evaluation=ghost_evaluation(big, 16, ((2, 4),), control_dialogues=2),
        distillation=replace(big.distillation, prompts=12),
        evaluation=replace(big.evaluation, prompts=10, safety_prompts=8, harmless_prompts=8, temperature_prompts=6,
                           benchmark_limit=4, bits_per_byte_documents=10, bootstrap=200),
    )  # fmt: skip
    scale = finetuning(scale, max_steps=5)
    scale = each_round(
        scale,
        preferences={"prompts": 24},
        reward={},
        rejection={"prompts": 12, "samples": 3},
        policy={"max_steps": 5},
    )
    return answers(selecting(scale, 4), 16)
