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
class PreferencesRecipe:
    """On-policy pairs of one round, from two different variants or temperatures (paper 3.2.1)."""

    round: int  # 1 for RLHF-V1; each round takes the next prompts
    annotator: str  # simulated | judge:MODEL | people
    prompts: int
    safety_share: float  # share of the prompts that are adversarial
    test_share: float
    sampling_a: SamplingRecipe
    sampling_b: SamplingRecipe


@dataclass(frozen=True)
class OpenPreferencesRecipe:
    """Preference pairs of others (paper Table 6)."""

    pairs: int  # most; 0 for none
    max_answer_words: int  # pairs with a longer answer are left out


@dataclass(frozen=True)
class RatingsRecipe:
    """Votes of people in the chat (modeling/rlhf/ratings). A scale states the first two; planning adds the others."""

    batch: int  # votes that are taken together
    test_share: float  # of the prompts, held out to compare reward models with people
    votes: int  # in complete batches
    digest: str  # of which votes these are


@dataclass(frozen=True)
class RewardRecipe:
    """One reward model (paper 3.2.2)."""

    kind: str  # helpfulness | safety
    optimizer: OptimizerRecipe
    context: int
    batch_pairs: int
    epochs: float
    margins: tuple[float, float, float, float]  # significantly better … negligibly better (Table 27)
    own_share: float  # share of pairs of its own kind; the rest are of the other kind
    safety_loss_weight: float  # auxiliary loss on safety labels (A.3.4), safety model only
    frozen_layers: int  # lowest decoder layers, with the embeddings, that do not learn; the paper: 0
    recent_pairs: int  # most pairs to train on: the newest round's first, then a draw of earlier ones; 0 = all
    seed: int


@dataclass(frozen=True)
class RejectionRecipe:
    round: int  # 1 for RLHF-V1; each round takes the next prompts
    prompts: int
    safety_share: float  # share of the prompts that are adversarial
    samples: int  # K
    sampling: SamplingRecipe
    safety_threshold: float  # 0.15: below it the safety score is the reward
    least_safety: float  # leaves out adversarial prompts whose best answer scores less; the paper: 0
    earlier_rounds: bool  # from V4 on: adds the top samples of all earlier rounds


@dataclass(frozen=True)
class GhostRecipe:
    """Dialogues for Ghost Attention (paper 3.3): the instruction of the first message holds on every turn."""

    dialogues: int
    turns: int  # most user turns; a hash draws two or more
    samples: int  # answers drawn a turn; the first that obeys is kept
    sampling: SamplingRecipe
    kinds: tuple[str, ...]  # of constraints that rules can check (modeling/dialogues/verifiable.py)
    unchecked_share: float  # share of dialogues about a public figure or a hobby, which rules cannot check
    combined_share: float  # share of dialogues with two constraints
    short_share: float  # share of instructions shortened to a few words
    system_share: float  # share of instructions kept as a system message; the others stand before the first question
    seed: int


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
class PpoRecipe:
    optimizer: OptimizerRecipe
    sampling: SamplingRecipe
    iterations: int
    batch: int  # responses of an iteration
    samples: int  # responses a prompt; the paper: 1
    mini_batch: int
    baseline: str  # critic | leave-one-out: the mean reward of the prompt's other samples (needs gae_lambda 1)
    critic_warmup: int  # first iterations, in which the critic alone learns
    clip: float
    value_clip: float
    value_coefficient: float  # affects only clipping and epsilon: the critic has its own optimizer
    beta: float  # KL weight
    gamma: float
    gae_lambda: float
    safety_threshold: float
    truncation_penalty: float  # subtracted from the whitened reward of an unclosed response (not in the paper)
    fault_penalty: float  # subtracted likewise from that of a refusal or disobedience that rules find; the paper: 0
    evaluate_every: int
    evaluation_samples: int  # answers per held-out prompt: one each for few prompts cannot separate a gain from chance
    patience: int  # evaluations without a better held-out reward before training stops
    max_kl: float  # nats a response: weights further from the first policy on held-out prompts are not released
    frozen_layers: int  # lowest decoder layers, with the embeddings, that do not learn; the paper: 0
    seed: int


@dataclass(frozen=True)
class SelectedRecipe(FinetuneRecipe):
    """A fine-tuning with model selection: what is significantly worse than the model before stays out (paper 3.2.3)."""

    selection_prompts: int  # validation prompts on which the two models are compared; 0 = not at all
    selection_sampling: SamplingRecipe


@dataclass(frozen=True)
class PolicyRecipe(SelectedRecipe):
    """The fine-tuning of a round (paper 3.2.3)."""

    # base (the paper: each version is made anew, so that versions are comparable) | before (the policy before goes on)
    start: str


@dataclass(frozen=True)
class RoundRecipe:
    preferences: PreferencesRecipe
    helpfulness: RewardRecipe
    safety: RewardRecipe
    rejection: RejectionRecipe
    policy: PolicyRecipe


@dataclass(frozen=True)
class DistillationRecipe:
    prompts: int
    sampling: SamplingRecipe
    preprompts: tuple[str, ...]  # Table 39, generic
    templates: tuple[tuple[str, str], ...]  # (risk category, preprompt that says how a good answer looks), A.4.5
    least_gain: float  # least gain in safety score (logits) of a kept answer; the paper: any gain, 0
    least_safety: float  # least safety probability of a kept answer: safer need not mean safe; the paper: 0
    finetune: SelectedRecipe


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
