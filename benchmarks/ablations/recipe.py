"""The sizes of the ablations: each training takes about a minute on two CPU cores."""

from dataclasses import asdict, dataclass, replace

from modeling.core.recipes import FinetuneRecipe, PretrainRecipe, SamplingRecipe, TokenizerRecipe, TokensRecipe
from modeling.rlhf.recipes import RewardRecipe
from orchestration import scales
from orchestration.identity import digest

NAMES = (
    "attention",
    "factual",
    "context",
    "lengths",
    "margins",
    "safety_loss",
    "safety_data",
)  # the most important first


@dataclass(frozen=True)
class AttentionRecipe:
    kv_heads: tuple[tuple[str, int], ...]  # setting → heads of keys and values; the first one is the baseline
    prompts: int  # answered at once to measure the speed of decoding
    prompt_tokens: int
    sampling: SamplingRecipe
    repeats: int  # the fastest one counts


@dataclass(frozen=True)
class FactualRecipe:
    epochs: tuple[float, ...]  # of the factual sources; the first one is the baseline
    other_epochs: float  # of all other sources
    documents: int  # of each source, at most
    questions: int  # of the knowledge probe, at most
    choices: int  # the fact and its distractors
    words: int  # of a choice, at most


@dataclass(frozen=True)
class ContextRecipe:
    contexts: tuple[int, int]  # tokens: the baseline, and twice as many
    documents: int  # held-out ones that fill the longer context, at most
    parts: int  # of the longer context; the loss of each is measured


@dataclass(frozen=True)
class LengthsRecipe:
    steps: tuple[int, ...]  # ascending


@dataclass(frozen=True)
class MarginsRecipe:
    reward: RewardRecipe
    margins: tuple[tuple[str, tuple[float, float, float, float]], ...]  # setting → of each degree (Table 27)


@dataclass(frozen=True)
class SafetyLossRecipe:
    reward: RewardRecipe
    weights: tuple[tuple[str, float], ...]  # setting → weight of the auxiliary loss


@dataclass(frozen=True)
class SafetyDataRecipe:
    finetune: FinetuneRecipe
    shares: tuple[float, ...]  # of the safety demonstrations; the first one is the baseline
    prompts: int  # of each kind, at most
    sampling: SamplingRecipe


@dataclass(frozen=True)
class AblationsRecipe:
    """One field for each ablation of NAMES; the other fields are common to all."""

    tokenizer: TokenizerRecipe
    tokens: TokensRecipe
    base: PretrainRecipe  # an ablation changes one thing in it; reward models start from it
    heldout_documents: int  # of each source
    attention: AttentionRecipe
    factual: FactualRecipe
    context: ContextRecipe
    lengths: LengthsRecipe
    margins: MarginsRecipe
    safety_loss: SafetyLossRecipe
    safety_data: SafetyDataRecipe

    def basis(self, ablation: str, mixture: str) -> str:
        """Returns the hash of all that the trainings of an ablation share. `mixture`: hash of the store's mixture."""
        own = {name: value for name, value in asdict(self).items() if name not in NAMES or name == ablation}
        return digest([own, mixture])


def two_cores() -> AblationsRecipe:
    """Models of a million parameters, derived from scale `scratch`."""
    scratch = scales.scale("scratch")
    vocabulary = 2048
    model = replace(
        scratch.base.model, layers=4, heads=8, kv_heads=8, hidden=128, ffn=344, context=256, vocab_size=vocabulary
    )
    last = scratch.rounds[-1]
    # All pairs of the store, several times: a finished store may hold few.
    changes = {"recent_pairs": 0, "epochs": 4.0}
    return AblationsRecipe(
        tokenizer=TokenizerRecipe(vocab_size=vocabulary, training_bytes=5_000_000),
        tokens=replace(scratch.tokens, title_share=0.0),
        base=replace(scratch.base, model=model, batch_tokens=1024, steps=450),
        heldout_documents=40,
        attention=AttentionRecipe(
            kv_heads=(("MHA", 8), ("GQA", 2), ("MQA", 1)), prompts=32, prompt_tokens=96,
            sampling=SamplingRecipe(temperature=1.0, top_p=1.0, max_new_tokens=128, seed=1), repeats=3,
        ),
        factual=FactualRecipe(
            epochs=(1.0, scratch.mixture.factual_epochs), other_epochs=0.1, documents=1000, questions=600, choices=4, words=12
        ),
        context=ContextRecipe(contexts=(128, 256), documents=150, parts=4),
        lengths=LengthsRecipe(steps=(56, 112, 225, 450, 900)),
        margins=MarginsRecipe(
            reward=replace(last.helpfulness, **changes),
            margins=(("none", (0.0,) * 4), ("small", (1.0, 2 / 3, 1 / 3, 0.0)), ("large", (3.0, 2.0, 1.0, 0.0))),
        ),
        safety_loss=SafetyLossRecipe(reward=replace(last.safety, **changes), weights=(("off", 0.0), ("on", 1.0))),
        safety_data=SafetyDataRecipe(
            finetune=scratch.sft, shares=(0.0, 0.01, 0.1, 0.25, 0.5, 1.0), prompts=100,
            sampling=SamplingRecipe(temperature=0.1, top_p=1.0, max_new_tokens=48, seed=1),
        ),
    )  # fmt: skip
