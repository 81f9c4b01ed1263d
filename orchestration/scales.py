"""Every hyper-parameter of every scale: the paper's numbers first, each with its section, then what smaller scales change.

`python -m orchestration.scales laptop 70b` prints the difference between two scales. Values that the paper leaves open are
marked (open) with the reason for the choice.
"""

import dataclasses
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from modeling.recipes import (
    AdoptRecipe,
    DemonstrationsRecipe,
    DistillationRecipe,
    EvaluationRecipe,
    FinetuneRecipe,
    MixtureRecipe,
    ModelRecipe,
    OptimizerRecipe,
    PpoRecipe,
    PreferencesRecipe,
    PretrainRecipe,
    PromptsRecipe,
    RejectionRecipe,
    RewardRecipe,
    RoundRecipe,
    SamplingRecipe,
    TokenizerRecipe,
    TokensRecipe,
)
from release.recipes import ReleaseRecipe

ROUNDS = 5


@dataclass(frozen=True)
class Scale:
    """All recipes of one column of the paper, from mixture to release."""

    mixture: MixtureRecipe
    tokenizer: TokenizerRecipe | AdoptRecipe
    tokens: TokensRecipe | AdoptRecipe
    base: PretrainRecipe | AdoptRecipe
    demonstrations: DemonstrationsRecipe
    prompts: PromptsRecipe
    sft: FinetuneRecipe
    rounds: tuple[RoundRecipe, ...]
    ppo: PpoRecipe
    distillation: DistillationRecipe
    evaluation: EvaluationRecipe
    release: ReleaseRecipe


# Table 39, generic preprompts with the adjectives of 4.2.4.
PREPROMPTS = (
    "You are a responsible assistant that wants to give an appropriate answer to a request:",
    "You are a respectful assistant. You should not give a false, misleading, or malicious answer:",
    "You are a wise assistant and you will answer the request below in a responsible and respectful way:",
)


def llama2_70b() -> Scale:
    """Llama 2 70B and Llama 2-Chat 70B."""
    adamw = OptimizerRecipe(  # 2.2
        learning_rate=1.5e-4, beta1=0.9, beta2=0.95, epsilon=1e-5, weight_decay=0.1, gradient_clip=1.0,
        schedule="cosine", warmup_steps=2000, warmup_ratio=0.0, final_ratio=0.1,
    )  # fmt: skip
    finetuning = FinetuneRecipe(  # 3.1
        optimizer=replace(adamw, learning_rate=2e-5, warmup_steps=0, warmup_ratio=0.03),  # warm-up (open): 3 %, as the RMs
        context=4096, batch_sequences=64, epochs=2.0, max_steps=0, demonstration_share=0.0, seed=1,
    )  # fmt: skip
    rewards = RewardRecipe(  # 3.2.2
        kind="helpfulness",
        optimizer=replace(adamw, learning_rate=5e-6, warmup_steps=5, warmup_ratio=0.03),
        context=4096, batch_pairs=512, epochs=1.0, margins=(1.0, 2 / 3, 1 / 3, 0.0),  # Table 27, small (open)
        own_share=0.5, safety_loss_weight=0.0, seed=2,
    )  # fmt: skip
    sampling = SamplingRecipe(temperature=1.0, top_p=0.95, max_new_tokens=1024, seed=3)

    def round_(n: int) -> RoundRecipe:
        return RoundRecipe(
            preferences=PreferencesRecipe(
                annotator="people", round=n, prompts=100_000, safety_share=0.2, test_share=0.01,  # 14 weekly batches of up to 249,356 (Table 26)
                sampling_a=replace(sampling, temperature=0.7, seed=10 * n), sampling_b=replace(sampling, seed=10 * n + 1),
            ),
            helpfulness=rewards,
            safety=replace(rewards, kind="safety", own_share=0.9, safety_loss_weight=1.0),  # weight (open)
            rejection=RejectionRecipe(
                round=n, prompts=100_000, safety_share=0.2, samples=100,  # (open) K: Figure 7 runs to 100
                sampling=replace(sampling, temperature=1.2, top_p=1.0, seed=10 * n + 2),  # Figure 8
                safety_threshold=0.15, earlier_rounds=n >= 4,
            ),
            policy=replace(finetuning, seed=10 * n + 3),
        )  # fmt: skip

    return Scale(
        mixture=MixtureRecipe(  # (open) epochs: Llama 1's, the only published anchor
            epochs=(("commoncrawl", 1.10), ("c4", 1.06), ("github", 0.64), ("wikipedia", 2.45), ("books", 2.23),
                    ("arxiv", 1.06), ("stackexchange", 1.03)),
            default_epochs=1.0, max_documents_per_source=0, heldout_documents=10_000, seed=0,
        ),
        tokenizer=TokenizerRecipe(vocab_size=32_000, training_bytes=10_000_000_000),
        tokens=TokensRecipe(seed=0, shard_tokens=100_000_000),
        base=PretrainRecipe(
            model=ModelRecipe(layers=80, heads=64, kv_heads=8, hidden=8192, ffn=28_672, context=4096,
                              rope_theta=10_000.0, norm_epsilon=1e-5, tied_embeddings=False, vocab_size=32_000),
            optimizer=adamw, batch_tokens=4_194_304, steps=500_000, seed=0,  # Table 1: 4M tokens a batch, 2T in all
        ),
        demonstrations=DemonstrationsRecipe(  # 27,540 annotations
            max_definitions=10_000, max_conversations=15_000, max_safety=2_540, max_answer_words=700, system_share=0.1,
            seed=4,
        ),
        prompts=PromptsRecipe(helpfulness=100_000, safety=20_000, test_helpfulness=584, test_safety=1586,
                              test_harmless=210, seed=4),
        sft=finetuning,
        rounds=tuple(round_(n) for n in range(1, ROUNDS + 1)),
        ppo=PpoRecipe(
            optimizer=replace(adamw, learning_rate=1e-6, schedule="constant", warmup_steps=0),
            sampling=SamplingRecipe(temperature=1.0, top_p=1.0, max_new_tokens=1024, seed=60),
            iterations=400, batch=512, mini_batch=64, clip=0.2, value_clip=0.2, value_coefficient=0.1,  # (open) value
            beta=0.005, gamma=1.0, gae_lambda=0.95, safety_threshold=0.15, truncation_penalty=1.0, evaluate_every=10, patience=5, seed=60,
        ),
        distillation=DistillationRecipe(
            prompts=20_000, sampling=replace(sampling, seed=70), preprompts=PREPROMPTS,
            finetune=replace(finetuning, epochs=1.0, demonstration_share=0.5, seed=71),
        ),
        evaluation=EvaluationRecipe(
            sampling=SamplingRecipe(temperature=0.1, top_p=0.9, max_new_tokens=1024, seed=80),
            prompts=584, safety_prompts=1586, harmless_prompts=210, samples_curve=100, benchmark_limit=0,
            bits_per_byte_documents=10_000, bootstrap=10_000, seed=80,
        ),
        release=ReleaseRecipe(allow_unlicensed=(), max_version_bytes=0, examples=6),
    )  # fmt: skip


def _family(layers: int, heads: int, kv_heads: int, hidden: int, ffn: int, learning_rate: float) -> Scale:
    big = llama2_70b()
    model = replace(big.base.model, layers=layers, heads=heads, kv_heads=kv_heads, hidden=hidden, ffn=ffn)
    optimizer = replace(big.base.optimizer, learning_rate=learning_rate)
    return replace(big, base=replace(big.base, model=model, optimizer=optimizer))


def _smaller_chat(scale: Scale) -> Scale:
    """7B, 13B and 34B reward models train at 1e-5 (3.2.2)."""
    faster = replace(scale.rounds[0].helpfulness.optimizer, learning_rate=1e-5)
    rounds = tuple(
        replace(r, helpfulness=replace(r.helpfulness, optimizer=faster), safety=replace(r.safety, optimizer=faster))
        for r in scale.rounds
    )
    return replace(scale, rounds=rounds)


def llama2_34b() -> Scale:
    return _smaller_chat(_family(48, 64, 8, 8192, 22_016, 1.5e-4))


def llama2_13b() -> Scale:
    scale = _smaller_chat(_family(40, 40, 40, 5120, 13_824, 3e-4))
    return replace(scale, ppo=replace(scale.ppo, beta=0.01))


def llama2_7b() -> Scale:
    scale = _smaller_chat(_family(32, 32, 32, 4096, 11_008, 3e-4))
    return replace(scale, ppo=replace(scale.ppo, beta=0.01))


def difference(first: Any, second: Any, path: str = "") -> Iterator[str]:
    """Lines `field: a → b` for every leaf in which two recipes differ; what all rounds share is said once, as rounds[*]."""
    if type(first) is type(second) and dataclasses.is_dataclass(first):
        for field in dataclasses.fields(first):
            name = f"{path}.{field.name}".lstrip(".")
            yield from difference(getattr(first, field.name), getattr(second, field.name), name)
    elif _recipes(first) and _recipes(second) and len(first) == len(second):
        each = [list(difference(one, other)) for one, other in zip(first, second, strict=True)]
        shared = [line for line in each[0] if all(line in lines for lines in each)]
        yield from (f"{path}[*].{line}" for line in shared)
        for number, lines in enumerate(each, 1):
            yield from (f"{path}[{number}].{line}" for line in lines if line not in shared)
    elif first != second:
        yield f"{path}: {first} → {second}"


def _recipes(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(dataclasses.is_dataclass(item) for item in value)


def scale(name: str) -> Scale:
    """The recipes of a scale. Raises KeyError that names the known ones."""
    if name not in SCALES:
        raise KeyError(f"no scale {name!r}: use one of {', '.join(SCALES)}")
    return SCALES[name]()


def main() -> None:
    """Prints, field by field, what differs between two scales."""
    if len(sys.argv) != 3 or not set(sys.argv[1:]) <= set(SCALES):
        sys.exit(f"usage: python -m orchestration.scales A B   with A, B of {', '.join(SCALES)}")
    print("\n".join(difference(scale(sys.argv[1]), scale(sys.argv[2]))))


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


def _each_round(scale: Scale, preferences: dict, reward: dict, rejection: dict, policy: dict) -> Scale:
    """Changes to the recipes of every round; `learning_rate` in `reward` reaches its optimizer."""

    def rewarded(recipe: RewardRecipe) -> RewardRecipe:
        fields = {k: v for k, v in reward.items() if k != "learning_rate"}
        rate = reward.get("learning_rate", recipe.optimizer.learning_rate)
        return replace(recipe, optimizer=replace(recipe.optimizer, learning_rate=rate), **fields)

    return replace(scale, rounds=tuple(
        RoundRecipe(
            preferences=replace(r.preferences, **preferences),
            helpfulness=rewarded(r.helpfulness),
            safety=rewarded(r.safety),
            rejection=replace(r.rejection, **rejection),
            policy=replace(r.policy, **policy),
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
    """One GPU, hours: about 125M parameters, 2k context, the embedded sources and the simulated annotator."""
    big = llama2_7b()
    base = PretrainRecipe(
        model=replace(big.base.model, layers=12, heads=12, kv_heads=4, hidden=768, ffn=2048, context=2048,
                      tied_embeddings=False),
        optimizer=replace(big.base.optimizer, learning_rate=6e-4, warmup_steps=200),
        batch_tokens=524_288, steps=5000, seed=0,
    )  # fmt: skip
    scale = replace(
        big, base=base,
        tokenizer=replace(big.tokenizer, training_bytes=1_000_000_000),
        mixture=replace(big.mixture, epochs=EMBEDDED_EPOCHS, heldout_documents=300),
        prompts=PromptsRecipe(helpfulness=4000, safety=600, test_helpfulness=300, test_safety=150, test_harmless=100, seed=4),
        ppo=replace(big.ppo, iterations=200, batch=256),
        distillation=replace(big.distillation, prompts=600),
        evaluation=replace(big.evaluation, prompts=300, safety_prompts=150, harmless_prompts=100, samples_curve=32,
                           benchmark_limit=500, bits_per_byte_documents=300, bootstrap=2000),
        release=replace(big.release, max_version_bytes=2_000_000_000),
    )  # fmt: skip
    scale = _finetuning(scale, context=2048, learning_rate=1e-4)
    scale = _each_round(
        scale,
        preferences={"annotator": "simulated", "prompts": 2000, "test_share": 0.1},
        reward={"context": 2048, "batch_pairs": 64, "learning_rate": 2e-5},
        rejection={"prompts": 2000, "samples": 16},
        policy={"demonstration_share": 0.5},
    )
    return _answers(scale, 256)


# Most factual first: encyclopedia intros three times, the rest less (chosen by the experiments in LOG.md).
EMBEDDED_EPOCHS = (("wikipedia_en", 3.0), ("bible_bbe", 0.3), ("bible_kjv", 0.0), ("chitchat", 0.3))


def laptop() -> Scale:
    """Two CPU cores, twenty minutes."""
    big = gpu()
    base = replace(
        big.base,
        model=replace(big.base.model, layers=6, heads=8, kv_heads=4, hidden=256, ffn=704, context=256, vocab_size=4096,
                      tied_embeddings=True),
        optimizer=replace(big.base.optimizer, learning_rate=4e-3, warmup_steps=50),
        batch_tokens=2048, steps=1800,
    )  # fmt: skip
    scale = replace(
        big, base=base,
        tokenizer=TokenizerRecipe(vocab_size=4096, training_bytes=20_000_000),
        demonstrations=replace(big.demonstrations, max_definitions=3000, max_conversations=1500, max_safety=600,
                               max_answer_words=40),
        prompts=PromptsRecipe(helpfulness=600, safety=300, test_helpfulness=150, test_safety=100, test_harmless=80, seed=4),
        ppo=replace(big.ppo, iterations=12, batch=64, mini_batch=16, evaluate_every=3, patience=3,
                    optimizer=replace(big.ppo.optimizer, learning_rate=2e-5)),
        distillation=replace(big.distillation, prompts=200),
        evaluation=replace(big.evaluation, prompts=150, safety_prompts=100, harmless_prompts=80, samples_curve=8,
                           benchmark_limit=100),
    )  # fmt: skip
    scale = _finetuning(scale, context=256, batch_sequences=8, learning_rate=1e-3)
    scale = _each_round(
        scale,
        preferences={"prompts": 256, "test_share": 0.2},
        reward={"context": 256, "batch_pairs": 8, "learning_rate": 1e-4},
        rejection={"prompts": 192, "samples": 8},
        policy={"max_steps": 150},
    )
    return _answers(scale, 48)


def tiny() -> Scale:
    """For tests: every stage in seconds, nothing learnt."""
    big = laptop()
    base = replace(
        big.base,
        model=replace(big.base.model, layers=2, heads=4, kv_heads=2, hidden=64, ffn=128, vocab_size=1024),
        optimizer=replace(big.base.optimizer, warmup_steps=5), batch_tokens=1024, steps=30,
    )  # fmt: skip
    scale = replace(
        big, base=base,
        tokenizer=TokenizerRecipe(vocab_size=1024, training_bytes=500_000),
        mixture=replace(big.mixture, heldout_documents=20),
        demonstrations=replace(big.demonstrations, max_definitions=60, max_conversations=30, max_safety=40),
        prompts=PromptsRecipe(helpfulness=24, safety=16, test_helpfulness=10, test_safety=8, test_harmless=8, seed=4),
        ppo=replace(big.ppo, iterations=2, batch=8, mini_batch=4, evaluate_every=1),
        distillation=replace(big.distillation, prompts=12),
        evaluation=replace(big.evaluation, prompts=10, safety_prompts=8, harmless_prompts=8, samples_curve=4,
                           benchmark_limit=4, bits_per_byte_documents=10, bootstrap=200),
    )  # fmt: skip
    scale = _finetuning(scale, max_steps=5)
    scale = _each_round(
        scale, preferences={"prompts": 24}, reward={}, rejection={"prompts": 12, "samples": 3}, policy={"max_steps": 5}
    )
    return _answers(scale, 16)


def adopted() -> Scale:
    """SmolLM2-135M-Instruct in the place of the base model; two CPU cores, ninety minutes."""
    big = laptop()
    checkpoint = AdoptRecipe(source="smollm2")
    scale = replace(
        big, tokenizer=checkpoint, tokens=checkpoint, base=checkpoint,
        prompts=replace(big.prompts, helpfulness=300, safety=200, test_helpfulness=60, test_safety=60, test_harmless=40),
        ppo=replace(big.ppo, iterations=6, batch=32, mini_batch=8, evaluate_every=2,
                    optimizer=replace(big.ppo.optimizer, learning_rate=2e-6)),
        distillation=replace(big.distillation, prompts=60),
        evaluation=replace(big.evaluation, prompts=60, safety_prompts=60, harmless_prompts=40, benchmark_limit=50),
        release=replace(big.release, max_version_bytes=400_000_000),
    )  # fmt: skip
    scale = _finetuning(scale, context=512, batch_sequences=4, learning_rate=1e-4, max_steps=30)
    scale = _each_round(
        scale,
        preferences={"prompts": 64},
        reward={"context": 512, "learning_rate": 2e-5},
        rejection={"prompts": 48, "samples": 4},
        policy={},
    )
    return _answers(scale, 64)


SCALES = {
    "tiny": tiny,
    "laptop": laptop,
    "adopted": adopted,
    "gpu": gpu,
    "7b": llama2_7b,
    "13b": llama2_13b,
    "34b": llama2_34b,
    "70b": llama2_70b,
}


if __name__ == "__main__":
    main()
