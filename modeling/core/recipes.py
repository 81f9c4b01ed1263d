"""Recipes of the model artifacts: one frozen dataclass per stage, no defaults (values are in orchestration/scales).

Runtime settings (devices, micro-batch, workers) never appear here.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class TokenizerRecipe:
    vocab_size: int
    training_bytes: int  # at most this much UTF-8 text of the mixture


@dataclass(frozen=True)
class TokensRecipe:
    seed: int
    shard_tokens: int
    title_share: float  # share of titled documents that begin with their title


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
    warmup_ratio: float  # share of all steps; the larger warm-up applies
    final_ratio: float


@dataclass(frozen=True)
class AdoptRecipe:
    """An existing Llama checkpoint, from which pretraining continues."""

    source: str  # name of the entry in sources.toml with use = "checkpoint"
    context: int  # tokens of a training sequence; the checkpoint keeps its own limit


@dataclass(frozen=True)
class PretrainRecipe:
    model: ModelRecipe | AdoptRecipe  # random weights of this shape, or a checkpoint to continue from
    optimizer: OptimizerRecipe
    batch_tokens: int
    steps: int
    frozen_layers: int  # lowest decoder layers, with the embeddings, that do not learn; the paper: 0
    seed: int


@dataclass(frozen=True)
class AdversarialRecipe:
    """The split of the adversarial prompts, by groups that hold all variants and paraphrases of a prompt."""

    least_cosine: float  # two prompts whose embeddings have this cosine are paraphrases; a multiple of 0.01
    least_shared_words: float  # two prompts whose word sets have this Jaccard similarity are variants
    largest_group: int  # groups that would have more prompts together are not joined


@dataclass(frozen=True)
class DemonstrationsRecipe:
    max_definitions: int  # "What is X?" pairs from reference texts
    max_conversations: int
    max_everyday: int  # everyday requests; their answers have up to 90 words
    max_safety: int
    max_twins: int  # harmless questions in the words of harmful ones, with their answers
    max_answer_words: int
    system_share: float  # share of dialogues that carry a system prompt
    multi_turn_share: float  # share of single-turn dialogues that get earlier turns
    after_refusal_share: float  # share of the everyday requests that come right after a refused one
    preprompts: tuple[str, ...]  # some safe answers carry one, so that the model knows distillation's preprompts
    seed: int


@dataclass(frozen=True)
class PromptsRecipe:
    """Prompts for RLHF, disjoint by id from demonstrations and tests."""

    helpfulness: int  # RLHF prompts; these three counts include those for validation
    safety: int
    harmless: int  # harmless prompts that sound risky: their pairs teach what not to refuse
    test_helpfulness: int
    test_safety: int
    test_harmless: int  # harmless prompts that measure the false refusal rate
    everyday_share: float  # of the helpfulness prompts, in RLHF and test alike
    verifiable_share: float  # prompts with a constraint that rules check: as a share of the helpfulness prompts, on top
    borderline_share: float  # of the harmless prompts: alarming but fine, and twins of harmful ones
    after_refusal_share: float  # of the harmless prompts: everyday requests right after a refused one
    validation: int  # RLHF prompts held out from training, to evaluate PPO; at most a tenth of all
    multi_turn_share: float  # share of the prompts of every kind that have earlier turns
    seed: int


@dataclass(frozen=True)
class FinetuneRecipe:
    """SFT and every later fine-tuning (paper 3.1): packed, answer-only loss."""

    optimizer: OptimizerRecipe
    context: int
    batch_sequences: int  # packed sequences per optimizer step
    epochs: float
    max_steps: int  # 0 = by epochs (3.2.3: a constant number in each RLHF round)
    demonstration_share: float  # share of demonstrations mixed into a round's samples
    frozen_layers: int  # lowest decoder layers, with the embeddings, that do not learn; the paper: 0
    ghost_share: float  # share of dialogues with Ghost Attention among all of a round (3.3)
    opening_weight: float  # weight in the loss of the tokens that begin an answer: help or refusal; the paper: 1
    start_share: float  # share of the start model in the saved weights (averaging.py); the paper: 0
    seed: int


@dataclass(frozen=True)
class SamplingRecipe:
    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int


@dataclass(frozen=True)
class OwnAnswersRecipe:
    """A checkpoint's own answers, as demonstrations beside the written ones. The paper has none."""

    prompts: int  # of the demonstrations
    requests: int  # everyday requests without a written answer (modeling/dialogues/own_requests.py)
    samples: int
    sampling: SamplingRecipe


@dataclass(frozen=True)
class SyntheticRequestsRecipe:
    """Requests that a checkpoint writes as its user would (modeling/dialogues/synthetic_requests.py). The paper has none."""

    requests: int  # most
    sampling: SamplingRecipe


@dataclass(frozen=True)
class GhostEvaluationRecipe:
    """Whether an instruction of the first message is still obeyed later (Table 30)."""

    sampling: SamplingRecipe
    lengths: tuple[tuple[int, int], ...]  # (user turns, dialogues); every other dialogue has a trained constraint
    measured_turns: tuple[int, ...]
    control_dialogues: int  # without an instruction: how often an answer obeys by accident
    kinds: tuple[str, ...]  # trained ones
    new_kinds: tuple[str, ...]  # with values, or of kinds, that no dialogue trains
    seed: int


@dataclass(frozen=True)
class EvaluationRecipe:
    sampling: SamplingRecipe  # each version's own temperature, chosen on validation prompts, replaces this one's
    prompts: int  # helpfulness prompts that Base, SFT, Chat and the controls answer
    safety_prompts: int
    harmless_prompts: int
    round_share: float  # share of these prompts that the other versions answer
    temperatures: tuple[float, ...]  # candidates for every version
    temperature_prompts: int  # validation prompts that each candidate answers, at most
    temperature_versions: tuple[str, ...]  # measured; the others take the choice of the next measured one
    benchmarks: tuple[str, ...]  # names in modeling/evaluation/benchmark_tasks.py
    benchmark_limit: int  # questions per benchmark, 0 = all
    controls_lose: bool  # whether a control that beats Base fails the gate: not if Base has never seen a dialogue
    bits_per_byte_documents: int
    bootstrap: int
    seed: int


@dataclass(frozen=True)
class ContaminationTestRecipe:
    """When a benchmark question is contaminated, and when that is said to have raised a score (paper A.6)."""

    exact_tokens: int  # equal tokens that begin a span; a span is longer
    skip_budget: int  # tokens of a span that may differ after them
    least_lengths: tuple[int, ...]  # least tokens of a span; the analysis is made for each
    least_z: float  # |Z| of all four subsets must be greater
