"""Corpus (paper 2.1, 4.1, A.6): raw sources to clean, deduplicated, decontaminated text. One partition a snapshot."""

from dataclasses import replace

from data_cleaning.recipes import DedupRecipe, ReportRecipe, Source, SourcesRecipe
from data_cleaning.retractions import keys_of, listed
from orchestration.stage import SNAPSHOT, Stage


def _corpus(key, module, recipe, paper, description, **inputs) -> Stage:
    return Stage(key, f"data_cleaning.{module}", "corpus", SNAPSHOT, recipe, paper, description, tuple(inputs.items()))


def _listed(settings) -> list[Source]:
    """The snapshot's corpus sources as the table lists them; `using` would look for their files too."""
    return [source for source in settings.sources if source.use == "corpus"]


def _dedup(settings) -> DedupRecipe:
    """The thresholds with the order of sources: the most factual, then those with a licence, then the others."""
    ranks = {source.name: 0 if source.factual else 1 if source.license else 2 for source in _listed(settings)}
    return replace(settings.corpus.dedup, ranks=tuple(sorted(ranks.items())))


def _report(settings) -> ReportRecipe:
    """The report's recipe with the licences of the snapshot's sources, and with what people retracted.

    Raises RetractionError if the list of retractions is unusable.
    """
    licenses = tuple((source.name, source.license) for source in _listed(settings))
    return replace(settings.corpus.report, licenses=licenses, retractions=keys_of(listed()))


sources = _corpus(
    "sources", "sources.fetch", lambda s: SourcesRecipe(s.using("corpus", "language_model")), "2.1",
    "Raw sources of a snapshot and the language identifier, fetched and pinned by sha256, licence and revision.",
)  # fmt: skip
benchmarks = Stage(
    "benchmarks", "data_cleaning.sources.fetch", "corpus", None, lambda s: SourcesRecipe(s.using("benchmarks")), "2.3",
    "Labelled benchmark questions, pinned; the corpus is decontaminated against them and models are scored on them.",
)  # fmt: skip
dialogues = Stage(
    "dialogues", "data_cleaning.sources.fetch", "corpus", None,
    lambda s: SourcesRecipe(s.using("dialogues", "preferences", "prompts")), "3.1",
    "Conversations, everyday requests, rated answers and adversarial prompts for fine-tuning, RLHF and the judge, pinned.",
)  # fmt: skip
embedder = Stage(
    "judge", "data_cleaning.sources.fetch", "corpus", None, lambda s: SourcesRecipe(s.using("judge")), "3.4",
    "The sentence-embedding model of the independent judge, pinned; it also groups adversarial prompts by meaning.",
)  # fmt: skip
toxicity = Stage(
    "toxicity", "data_cleaning.sources.fetch", "corpus", None, lambda s: SourcesRecipe(s.using("toxicity")), "4.1",
    "Offensive words that people rated, by which the report measures toxicity, and labelled lines to check it on, pinned.",
)  # fmt: skip
documents = _corpus(
    "documents", "reading.extract", lambda s: s.corpus.extract, "2.1",
    "Documents extracted from the raw files; what cannot be read is quarantined with file, offset and error.",
    sources=sources,
)  # fmt: skip
language = _corpus(
    "language", "filters.language", lambda s: s.corpus.language, "Table 10",
    "English documents by fastText lid.176 over the whole text; score and label recorded.",
    documents=documents, sources=sources,
)  # fmt: skip
quality = _corpus(
    "quality", "filters.quality", lambda s: s.corpus.quality, "2.1",
    "Documents that pass the Gopher, C4 and FineWeb rules; dropped ones are stored with rule and measured value.",
    language=language,
)  # fmt: skip
pii = _corpus(
    "pii", "filters.pii", lambda s: s.corpus.pii, "2.1",
    "E-mails, public addresses, phone and card numbers replaced; sites with much personal information removed.",
    quality=quality,
)  # fmt: skip
deduplicated = _corpus(
    "deduplicated", "dedup.stage", _dedup, "2.1",
    "Exact and MinHash duplicates removed; each dropped document names the one that was kept.",
    pii=pii,
)  # fmt: skip
decontaminated = _corpus(
    "decontaminated", "contamination.stage", lambda s: s.corpus.contamination, "A.6",
    "Documents free of benchmark samples.",
    deduplicated=deduplicated, benchmarks=benchmarks,
)  # fmt: skip
corpus_report = _corpus(
    "corpus_report", "report.stage", _report, "4.1",
    "A page on the corpus: what each step dropped, languages, pronouns, identity terms, toxicity, licences.",
    documents=documents, language=language, quality=quality, pii=pii, deduplicated=deduplicated,
    decontaminated=decontaminated, toxicity=toxicity,
)  # fmt: skip

STAGES = [
    sources, benchmarks, dialogues, embedder, toxicity, documents, language, quality, pii, deduplicated, decontaminated,
    corpus_report,
]  # fmt: skip
