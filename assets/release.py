"""Release (paper A.7): a bundle that transformers loads, with model card and lineage written from the records."""

from dataclasses import replace

from assets import corpus, evaluation
from orchestration.stage import SCALE, Stage
from release.licenses import stated
from release.recipes import ReleaseRecipe


def _release(settings) -> ReleaseRecipe:
    """The scale's release recipe with the licences of all sources: a corrected licence remakes the bundle alone."""
    return replace(settings.release, licenses=stated(settings.sources))


bundle = Stage(
    "bundle", "release.export", "release", SCALE, _release, "A.7, Table 52",
    "The released model: safetensors, tokenizer with chat template, model card, corpus report, lineage, all versions.",
    (*evaluation.versions.items(), ("bits_per_byte", evaluation.bits_per_byte),
     ("benchmark_scores", evaluation.benchmark_scores),
     ("benchmark_contamination", evaluation.benchmark_contamination), ("win_rates", evaluation.win_rates),
     ("temperature_curve", evaluation.temperature_curve), ("answer_rates", evaluation.answer_rates),
     ("ghost_attention", evaluation.ghost_attention),
     ("reward_report", evaluation.reward_report), ("corpus_report", corpus.corpus_report)),
)  # fmt: skip

STAGES = [bundle]
