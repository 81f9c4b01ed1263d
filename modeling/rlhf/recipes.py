"""Recipes of RLHF: one frozen dataclass per stage, no defaults (values are in orchestration/scales)."""

from dataclasses import dataclass

from modeling.core.recipes import FinetuneRecipe, OptimizerRecipe, SamplingRecipe


@dataclass(frozen=True)
class PreferencesRecipe:
    """On-policy pairs of one round, from two different variants or temperatures (paper 3.2.1)."""

    round: int  # 1 for RLHF-V1; each round takes the next prompts
    annotator: str  # simulated | judge:MODEL | people
    prompts: int
    safety_share: float  # share of the prompts that are adversarial
    base_share: float  # share of these where the base model is the other variant; the paper: 0
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
    scale: str  # of whose versions: the answers of a larger model teach a smaller one's reward models little
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
    contrast_share: float  # contrasts (contrasts.py) beside them, for each about an ordinary prompt; the paper: 0
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
    composed: int  # more dialogues, put together from a checkpoint's own answers; the paper: 0
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
