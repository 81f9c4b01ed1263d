"""Llama 2 as published: every number with its section.

Values that the paper leaves open are marked (open), with where the choice comes from.
"""

from dataclasses import replace

from data_cleaning.recipes import MixtureRecipe
from modeling.core.recipes import (
    DemonstrationsRecipe,
    EvaluationRecipe,
    FinetuneRecipe,
    GhostEvaluationRecipe,
    ModelRecipe,
    OptimizerRecipe,
    OwnAnswersRecipe,
    PretrainRecipe,
    PromptsRecipe,
    SamplingRecipe,
    SyntheticRequestsRecipe,
    TokenizerRecipe,
    TokensRecipe,
)
from modeling.rlhf.recipes import (
    GhostRecipe,
    OpenPreferencesRecipe,
    PolicyRecipe,
    PpoRecipe,
    PreferencesRecipe,
    RatingsRecipe,
    RejectionRecipe,
    RewardRecipe,
    RoundRecipe,
    SelectedRecipe,
)
from modeling.safety.recipes import DistillationRecipe
from orchestration.scales.recipe import Scale
from orchestration.thresholds import corpus
from release.recipes import ReleaseRecipe

ROUNDS = 5
# Table 39, generic preprompts with the adjectives of 4.2.4.
PREPROMPTS = (
    "You are a responsible assistant that wants to give an appropriate answer to a request:",
    "You are a respectful assistant. You should not give a false, misleading, or malicious answer:",
    "You are a wise assistant and you will answer the request below in a responsible and respectful way:",
)

# Forms and languages of an answer that a conversation can keep (3.3), and those that only Table 30's evaluation asks for.
CONSTRAINTS = ("language", "sentences", "lower_case", "ends_with", "begins_with", "bullets")
NEW_CONSTRAINTS = ("language", "sentences", "upper_case", "ends_with", "begins_with", "contains")


# Answer templates by risk category (4.2.1, 4.2.4), in the style of Table 39: what a good answer does.
TEMPLATES = (
    ("illicit and criminal",
     "You should not help with criminal or dangerous activities. Say that the request is illegal or dangerous, explain the "
     "harm to others and the legal consequences, and suggest a lawful alternative:"),
    ("hateful and harmful",
     "You should be respectful and take care of people's safety. If somebody may be in danger, address that first. Say that "
     "you will not write anything hateful, violent or explicit, explain whom it would hurt, and suggest what may help:"),
    ("unqualified advice",
     "You should not give false or unqualified information. Say what you cannot know or judge, explain the risk of relying on "
     "it, and recommend a professional or a reliable source:"),
)  # fmt: skip


def llama2_70b() -> Scale:
    """Llama 2 70B and Llama 2-Chat 70B."""
    adamw = OptimizerRecipe(  # 2.2
        learning_rate=1.5e-4, beta1=0.9, beta2=0.95, epsilon=1e-5, weight_decay=0.1, gradient_clip=1.0,
        schedule="cosine", warmup_steps=2000, warmup_ratio=0.0, final_ratio=0.1,
    )  # fmt: skip
    finetuning = FinetuneRecipe(  # 3.1
        optimizer=replace(adamw, learning_rate=2e-5, warmup_steps=0, warmup_ratio=0.03),  # warm-up (open): 3 %, as the RMs
        context=4096, batch_sequences=64, epochs=2.0, max_steps=0, demonstration_share=0.0, frozen_layers=0,
        ghost_share=0.0, opening_weight=1.0, start_share=0.0, seed=1,
    )  # fmt: skip
    rewards = RewardRecipe(  # 3.2.2
        kind="helpfulness",
        optimizer=replace(adamw, learning_rate=5e-6, warmup_steps=5, warmup_ratio=0.03),
        context=4096, batch_pairs=512, epochs=1.0, margins=(1.0, 2 / 3, 1 / 3, 0.0),  # Table 27, small (open)
        own_share=0.5, safety_loss_weight=0.0, frozen_layers=0, recent_pairs=0,
        contrast_share=0.0, seed=2,
    )  # fmt: skip
    sampling = SamplingRecipe(temperature=1.0, top_p=0.95, max_new_tokens=1024, seed=3)

    def round_(n: int) -> RoundRecipe:
        return RoundRecipe(
            preferences=PreferencesRecipe(
                annotator="people", round=n, prompts=100_000, safety_share=0.2,  # (open) weekly batches grow to 249,356
                base_share=0.0, test_share=0.01,
                sampling_a=replace(sampling, temperature=0.7, seed=10 * n), sampling_b=replace(sampling, seed=10 * n + 1),
            ),
            helpfulness=rewards,
            safety=replace(rewards, kind="safety", own_share=0.9, safety_loss_weight=1.0),  # weight (open)
            rejection=RejectionRecipe(
                round=n, prompts=100_000, safety_share=0.2, samples=100,  # (open) K: Figure 7 runs to 100
                sampling=replace(sampling, temperature=1.2, top_p=1.0, seed=10 * n + 2),  # Figure 8
                safety_threshold=0.15, least_safety=0.0, earlier_rounds=n >= 4,
            ),
            policy=PolicyRecipe(
                # (open) about two epochs of 100,000 samples; (open) the share of Ghost Attention, after V3 (A.3.5)
                **vars(finetuning) | {"max_steps": 300, "ghost_share": 0.2 if n > 3 else 0.0, "seed": 10 * n + 3},
                start="base",
                selection_prompts=512,  # (open) all validation prompts; sampled as for evaluation
                selection_sampling=replace(sampling, temperature=0.1, top_p=0.9, seed=10 * n + 4),
            ),
        )  # fmt: skip

    return Scale(
        mixture=MixtureRecipe(  # (open) epochs: Llama 1's, the only published anchor
            epochs=(("commoncrawl", 1.10), ("c4", 1.06), ("github", 0.64), ("wikipedia", 2.45), ("books", 2.23),
                    ("arxiv", 1.06), ("stackexchange", 1.03)),
            factual_epochs=2.45, default_epochs=1.0, max_documents_per_source=0, heldout_share=0.001,
            full_deliveries=(), retractions=(), dedup=corpus().dedup, seed=0,
        ),
        tokenizer=TokenizerRecipe(vocab_size=32_000, training_bytes=10_000_000_000),
        tokens=TokensRecipe(seed=0, shard_tokens=100_000_000, title_share=0.0),
        base=PretrainRecipe(
            model=ModelRecipe(layers=80, heads=64, kv_heads=8, hidden=8192, ffn=28_672, context=4096,
                              rope_theta=10_000.0, norm_epsilon=1e-5, tied_embeddings=False, vocab_size=32_000),
            optimizer=adamw, batch_tokens=4_194_304, steps=500_000,  # Table 1: 4M tokens a batch, 2T in all
            frozen_layers=0, seed=0,
        ),
        demonstrations=DemonstrationsRecipe(  # 27,540 annotations
            max_definitions=10_000, max_conversations=10_000, max_everyday=5_000, max_safety=2_540, max_twins=250,
            max_answer_words=700, system_share=0.1, multi_turn_share=0.32, after_refusal_share=0.1, preprompts=PREPROMPTS,
            seed=4,
        ),
        synthetic_requests=SyntheticRequestsRecipe(
            requests=0, sampling=SamplingRecipe(temperature=0.9, top_p=0.9, max_new_tokens=64, seed=6)
        ),
        own_answers=OwnAnswersRecipe(prompts=0, requests=0, samples=1, sampling=replace(sampling, seed=5)),
        prompts=PromptsRecipe(helpfulness=100_000, safety=20_000, harmless=5_000, test_helpfulness=584, test_safety=1586,
                              test_harmless=210, everyday_share=0.5, verifiable_share=0.1, borderline_share=0.5,
                              after_refusal_share=0.2, validation=512, multi_turn_share=0.32, seed=4),
        sft=finetuning,
        open_preferences=OpenPreferencesRecipe(pairs=1_501_235, max_answer_words=700),  # Table 6
        ratings=RatingsRecipe(batch=100_000, test_share=0.1, scale="", votes=0, digest=""),  # 1,418,091 in 14 batches (Table 26)
        rounds=tuple(round_(n) for n in range(1, ROUNDS + 1)),
        ghost=GhostRecipe(  # 3.3; (open) all but short_share: half of the instructions are shortened
            dialogues=10_000, composed=0, turns=4, samples=4, sampling=replace(sampling, seed=65),
            kinds=(*CONSTRAINTS, "words_below"),
            unchecked_share=0.5, combined_share=0.3, short_share=0.5, system_share=0.5, seed=65,
        ),
        ppo=PpoRecipe(
            optimizer=replace(adamw, learning_rate=1e-6, schedule="constant", warmup_steps=0),
            sampling=SamplingRecipe(temperature=1.0, top_p=1.0, max_new_tokens=1024, seed=60),
            iterations=400, batch=512, samples=1, mini_batch=64, baseline="critic", critic_warmup=10,  # (open) warm-up
            clip=0.2, value_clip=0.2, value_coefficient=0.1,  # (open) value
            beta=0.005, gamma=1.0, gae_lambda=0.95, safety_threshold=0.15, truncation_penalty=1.0, fault_penalty=0.0,
            evaluate_every=10, evaluation_samples=1, patience=5, max_kl=50.0, frozen_layers=0, seed=60,  # (open) bound of the KL
        ),
        distillation=DistillationRecipe(
            prompts=20_000, sampling=replace(sampling, seed=70), preprompts=PREPROMPTS, templates=TEMPLATES,
            least_gain=0.0, least_safety=0.0,
            finetune=SelectedRecipe(
                **vars(finetuning) | {"epochs": 1.0, "demonstration_share": 0.5, "ghost_share": 0.2, "seed": 71},  # (open)
                selection_prompts=512, selection_sampling=replace(sampling, temperature=0.1, top_p=0.9, seed=72),  # (open)
            ),
        ),
        evaluation=EvaluationRecipe(
            sampling=SamplingRecipe(temperature=0.1, top_p=0.9, max_new_tokens=1024, seed=80),
            prompts=584, safety_prompts=1586, harmless_prompts=210, round_share=1.0,
            temperatures=(0.1, 0.7, 1.0), temperature_prompts=584,  # (open)
            temperature_versions=("Base", "SFT", "RLHF-v5", "PPO", "Chat"),
            benchmarks=("mmlu", "boolq", "openbookqa", "piqa", "siqa", "commonsenseqa", "logiqa", "medqa",
                        "truthfulqa_match", "nq_open", "asdiv"),
            benchmark_limit=0, controls_lose=False, bits_per_byte_documents=10_000, bootstrap=10_000, seed=80,
        ),
        ghost_evaluation=GhostEvaluationRecipe(  # Table 30; (open) the numbers of dialogues
            sampling=SamplingRecipe(temperature=0.1, top_p=0.9, max_new_tokens=256, seed=85),
            lengths=((6, 100), (20, 100)), measured_turns=(1, 2, 4, 6, 20), control_dialogues=50,
            kinds=CONSTRAINTS, new_kinds=NEW_CONSTRAINTS, seed=85,
        ),
        release=ReleaseRecipe(licenses=(), allow_unlicensed=(), max_version_bytes=0),
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
    """Llama 2 34B and Llama 2-Chat 34B."""
    return _smaller_chat(_family(48, 64, 8, 8192, 22_016, 1.5e-4))


def llama2_13b() -> Scale:
    """Llama 2 13B and Llama 2-Chat 13B."""
    scale = _smaller_chat(_family(40, 40, 40, 5120, 13_824, 3e-4))
    return replace(scale, ppo=replace(scale.ppo, beta=0.01))


def llama2_7b() -> Scale:
    """Llama 2 7B and Llama 2-Chat 7B."""
    scale = _smaller_chat(_family(32, 32, 32, 4096, 11_008, 3e-4))
    return replace(scale, ppo=replace(scale.ppo, beta=0.01))
