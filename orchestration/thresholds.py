"""Thresholds that all scales share: language, quality, personal information, duplicates, contamination, paraphrases."""

from dataclasses import replace

from data_cleaning.recipes import (
    EVERY_PII,
    ContaminationRecipe,
    CorpusRecipe,
    DedupRecipe,
    ExtractRecipe,
    LanguageRecipe,
    QualityProfile,
    QualityRecipe,
    ReportRecipe,
)
from modeling.core.recipes import AdversarialRecipe, ContaminationTestRecipe

# Lines of web pages that are no text (C4).
NOTICES = (
    "javascript",
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)


def corpus() -> CorpusRecipe:
    """Returns the recipe of every snapshot."""
    language = LanguageRecipe(keep=("en",), threshold=0.5)  # Table 10
    quality = QualityRecipe(profiles=profiles())
    # assets/corpus.py adds the ranks of a snapshot's sources.
    dedup = DedupRecipe(shingle_words=5, bands=14, rows=8, min_jaccard=0.7, notices=NOTICES, ranks=(), seed=0)
    # A.6; the paper removes nothing. Half of a question: a dozen words that many questions begin with are fewer.
    contamination = ContaminationRecipe(ngram_words=11, max_question=0.5, max_passage=0.2, skip_budget=4)
    return CorpusRecipe(
        extract=ExtractRecipe(
            max_document_bytes=10_000_000,
            max_archive_bytes=20_000_000_000,
            max_archive_members=1_000_000,
            shard_documents=4000,
        ),
        language=language,
        quality=quality,
        pii=EVERY_PII,
        dedup=dedup,
        contamination=contamination,
        report=ReportRecipe(
            samples_per_reason=3,
            samples_per_side=2,
            most_measured=200_000,
            licenses=(),  # assets/corpus.py has those of a snapshot's sources, and the retractions
            retractions=(),
            language=language,
            quality=quality,
            dedup=dedup,
            contamination=contamination,
        ),
    )


def adversarial() -> AdversarialRecipe:
    """The split of the adversarial prompts, the same for all scales."""
    return AdversarialRecipe(least_cosine=0.7, least_shared_words=0.6, largest_group=80)


def contamination_test() -> ContaminationTestRecipe:
    """The paper's numbers (A.6)."""
    return ContaminationTestRecipe(exact_tokens=10, skip_budget=4, least_lengths=(10, 20, 30, 40, 50), least_z=2.0)


def profiles() -> tuple[QualityProfile, ...]:
    """Returns the published thresholds as "web", and looser ones for other kinds of text, chosen by reading what was dropped."""
    web = QualityProfile(
        name="web",
        min_words=50,  # Gopher, from here to min_stop_words
        max_words=100_000,
        mean_word_length=(3.0, 10.0),
        max_symbol_word_ratio=0.1,
        max_bullet_lines=0.9,
        max_ellipsis_lines=0.3,
        min_alphabetic_words=0.8,
        min_stop_words=2,
        max_duplicate_lines=0.3,  # Gopher, repetition
        max_duplicate_paragraphs=0.3,
        max_duplicate_line_characters=0.01,  # FineWeb; it implies Gopher's 0.2
        max_duplicate_paragraph_characters=0.2,
        max_top_ngram=((2, 0.20), (3, 0.18), (4, 0.16)),
        max_duplicate_ngrams=((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)),
        min_punctuated_lines=0.12,  # FineWeb
        max_short_lines=0.67,
        max_newline_ratio=0.3,
        min_sentences=5,  # C4
        min_words_per_line=3,
        drop_phrases=("lorem ipsum", "{"),
        drop_line_phrases=NOTICES,
    )
    # What people wrote and chose: the rules against menus, lists and notices of web pages do not apply.
    written = replace(
        web,
        max_ellipsis_lines=1.0,
        min_punctuated_lines=None,
        max_short_lines=None,
        max_newline_ratio=None,
        min_sentences=1,
        min_words_per_line=None,
        drop_phrases=("lorem ipsum",),
        drop_line_phrases=(),
    )
    # Somebody's own documents, chosen one by one: manuals, books, letters. Lists, tables, headings and code belong to them,
    # and they are as long as they are.
    curated = replace(
        written,
        name="curated",
        min_words=20,
        max_words=100_000_000,
        max_symbol_word_ratio=0.3,
        max_bullet_lines=1.0,
        min_alphabetic_words=0.5,
        max_duplicate_line_characters=0.3,
        max_top_ngram=((2, 0.30), (3, 0.28), (4, 0.25)),
        max_duplicate_ngrams=((5, 0.40), (10, 0.30)),
    )
    # Encyclopedic introductions: one short paragraph that repeats its subject and may end in "…". One whole sentence is
    # asked for: what has none was cut off or is a list of meanings. Many good ones have none of Gopher's 8 stop words.
    reference = replace(
        written,
        name="reference",
        min_words=10,
        min_alphabetic_words=0.6,
        min_stop_words=0,
        max_duplicate_line_characters=0.2,
        max_top_ngram=((2, 0.40), (3, 0.40), (4, 0.35)),
        max_duplicate_ngrams=((5, 0.35), (10, 0.30)),
    )
    # Chapters of books: refrains, lists of names and parallel verses are the text itself.
    scripture = replace(
        reference,
        name="scripture",
        min_words=20,
        min_stop_words=2,
        max_duplicate_lines=0.5,
        max_top_ngram=((2, 0.40), (3, 0.40), (4, 0.40)),
        max_duplicate_ngrams=((5, 0.60), (10, 0.50)),
    )
    prose = replace(scripture, name="prose", max_duplicate_ngrams=((5, 0.35), (10, 0.30)))
    # Chats: short lines without punctuation, and many that end before they began ("Hello?").
    dialogue = replace(
        reference,
        name="dialogue",
        min_words=20,
        mean_word_length=(2.5, 10.0),
        min_sentences=None,
        max_top_ngram=((2, 0.30), (3, 0.25), (4, 0.25)),
        max_duplicate_ngrams=((5, 0.25), (10, 0.20)),
    )
    return web, curated, reference, scripture, prose, dialogue
