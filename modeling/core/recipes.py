"""What each model artifact is: one frozen dataclass a stage, no defaults (values live in orchestration/scales).

Where it runs (devices, micro-batch, workers) is runtime and never appears here.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class TokenizerRecipe:
    vocab_size: int
    training_bytes: int  # at most this much text of the mixture


@dataclass(frozen=True)
class TokensRecipe:
    seed: int
    shard_tokens: int
    title_share: float  # of titled documents that begin with their title


@dataclass(frozen=True)
class ModelRecipe:
    layers: int
    heads: int
    kv_heads: int
    hidden: int
    ffn: int
    context: int
    rope_theta: float
    norm_epsilon: float
    tied_embeddings: bool
    vocab_size: int


@dataclass(frozen=True)
class OptimizerRecipe:
    """AdamW with a warm-up, then cosine to `final_ratio` of the peak or constant (paper 2.2)."""

    learning_rate: float
    beta1: float
    beta2: float
    epsilon: float
    weight_decay: float
    gradient_clip: float
    schedule: str  # cosine | constant
    warmup_steps: int
    warmup_ratio: float  # of all steps; the larger of both holds
    final_ratio: float


@dataclass(frozen=True)
class AdoptRecipe:
    """An existing Llama checkpoint in the place of the base model."""

    source: str  # name of the entry in sources.toml with use = "checkpoint"


@dataclass(frozen=True)
class PretrainRecipe:
    model: ModelRecipe
    optimizer: OptimizerRecipe
    batch_tokens: int
    steps: int
    seed: int


@dataclass(frozen=True)
class DemonstrationsRecipe:
    max_definitions: int  # "What is X?" pairs from reference texts
    max_conversations: int
    max_safety: int
    max_answer_words: int
    system_share: float  # share of dialogues that carry a system prompt
    multi_turn_share: float  # of dialogues that come after earlier turns, where they have none of their own
    preprompts: tuple[str, ...]  # some safe answers carry one, so that the model knows what distillation asks for
    seed: int


@dataclass(frozen=True)
class PromptsRecipe:
    """Prompts for RLHF, disjoint by id from demonstrations and tests."""

    helpfulness: int  # of RLHF: these three counts include the prompts for validation
    safety: int
    harmless: int  # that sound risky: their pairs teach what not to refuse
    test_helpfulness: int
    test_safety: int
    test_harmless: int  # harmless prompts for false refusals
    validation: int  # of RLHF's, on which nothing is trained: PPO is measured on them; at most a tenth of all
    multi_turn_share: float  # of the prompts of every kind that come after earlier turns
    seed: int


@dataclass(frozen=True)
class FinetuneRecipe:
    """SFT and every later fine-tuning (paper 3.1): packed, answer-only loss."""

    optimizer: OptimizerRecipe
    context: int
    batch_sequences: int  # packed sequences an optimizer step
    epochs: float
    max_steps: int  # 0 = by epochs; (3.2.3: a constant number in each RLHF round)
    demonstration_share: float  # share of demonstrations mixed into a round's samples
    seed: int


@dataclass(frozen=True)
class SamplingRecipe:
    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int


@dataclass(frozen=True)
class PreferencesRecipe:
    """On-policy pairs a round: two different variants or temperatures (paper 3.2.1)."""

    round: int  # 1 for RLHF-V1; each round takes the next prompts
    annotator: str  # simulated | judge:MODEL | people
    prompts: int
    safety_share: float  # of the prompts that are adversarial
    test_share: float
    sampling_a: SamplingRecipe
    sampling_b: SamplingRecipe


@dataclass(frozen=True)
class RewardRecipe:
    """One reward model (paper 3.2.2)."""

    kind: str  # helpfulness | safety
    optimizer: OptimizerRecipe
    context: int
    batch_pairs: int
    epochs: float
    margins: tuple[float, float, float, float]  # significantly better … negligibly better (Table 27)
    own_share: float  # share of pairs of its own kind, the rest of the other kind
    safety_loss_weight: float  # auxiliary loss on safety labels (A.3.4), safety model only
    seed: int


@dataclass(frozen=True)
class RejectionRecipe:
    round: int  # 1 for RLHF-V1; each round takes the next prompts
    prompts: int
    safety_share: float  # of the prompts that are adversarial
    samples: int  # K
    sampling: SamplingRecipe
    safety_threshold: float  # 0.15: below it the safety score is the reward
    least_safety: float  # an adversarial prompt whose best answer scores less is not learnt from; the paper: 0
    earlier_rounds: bool  # from V4: top samples of all earlier rounds too


@dataclass(frozen=True)
class PpoRecipe:
    optimizer: OptimizerRecipe
    sampling: SamplingRecipe
    iterations: int
    batch: int
    mini_batch: int
    clip: float
    value_clip: float
    value_coefficient: float  # the critic has its own optimizer: this weighs against its clipping and epsilon only
    beta: float  # KL weight
    gamma: float
    gae_lambda: float
    safety_threshold: float
    truncation_penalty: float  # off the whitened reward of a response without a closing token (the paper is silent)
    evaluate_every: int
    evaluation_samples: int  # answers a held-out prompt: few prompts answered once cannot tell a gain from chance
    patience: int  # evaluations without a better held-out reward before it stops
    seed: int


@dataclass(frozen=True)
class RoundRecipe:
    preferences: PreferencesRecipe
    helpfulness: RewardRecipe
    safety: RewardRecipe
    rejection: RejectionRecipe
    policy: FinetuneRecipe


@dataclass(frozen=True)
class DistillationRecipe:
    prompts: int
    sampling: SamplingRecipe
    preprompts: tuple[str, ...]  # Table 39
    least_gain: float  # of the safety score (logits) for an answer to be kept; the paper: any gain, 0
    least_safety: float  # of a kept answer, a probability: safer than an unsafe one need not be safe; the paper: 0
    finetune: FinetuneRecipe


@dataclass(frozen=True)
class EvaluationRecipe:
    sampling: SamplingRecipe
    prompts: int
    safety_prompts: int
    harmless_prompts: int
    temperatures: tuple[float, ...]  # at which win rates are measured too
    temperature_prompts: int
    benchmark_limit: int  # questions a benchmark, 0 = all
    bits_per_byte_documents: int
    bootstrap: int
    seed: int
