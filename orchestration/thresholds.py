"""Every threshold of the corpus half, in one place: language, quality rules, personal information, duplicates, contamination."""

from dataclasses import replace

from data_cleaning.recipes import (
    ContaminationRecipe,
    CorpusRecipe,
    DedupRecipe,
    ExtractRecipe,
    LanguageRecipe,
    PiiRecipe,
    QualityProfile,
    QualityRecipe,
    ReportRecipe,
)


def corpus() -> CorpusRecipe:
    """The recipe of every snapshot."""
    return CorpusRecipe(
        extract=ExtractRecipe(max_document_bytes=10_000_000, max_archive_bytes=20_000_000_000, shard_documents=4000),
        language=LanguageRecipe(keep=("en",), threshold=0.5),  # Table 10
        quality=QualityRecipe(profiles=profiles()),
        pii=PiiRecipe(kinds=("email", "ip", "phone", "card"), blocked_sites=()),
        dedup=DedupRecipe(shingle_words=5, bands=14, rows=8, min_jaccard=0.7, seed=0),
        contamination=ContaminationRecipe(ngram_words=11, max_contaminated=0.8, skip_budget=4),  # A.6
        report=ReportRecipe(samples_per_reason=3),
    )


def profiles() -> tuple[QualityProfile, ...]:
    web = QualityProfile(
        name="web",
        min_words=50,
        max_words=100_000,
        mean_word_length=(3.0, 10.0),
        max_symbol_word_ratio=0.1,
        max_bullet_lines=0.9,
        max_ellipsis_lines=0.3,
        min_alphabetic_words=0.8,
        min_stop_words=2,
        max_duplicate_lines=0.3,
        max_duplicate_paragraphs=0.3,
        max_duplicate_line_characters=0.01,  # FineWeb; Gopher's 0.2 is implied
        max_duplicate_paragraph_characters=0.2,
        max_top_ngram=((2, 0.20), (3, 0.18), (4, 0.16)),
        max_duplicate_ngrams=((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)),
        min_punctuated_lines=0.12,
        max_short_lines=0.67,
        max_newline_ratio=0.3,
        min_sentences=5,
        min_words_per_line=3,
        drop_phrases=("lorem ipsum", "{"),
        drop_line_phrases=(
            "javascript",
            "terms of use",
            "privacy policy",
            "cookie policy",
            "uses cookies",
            "use of cookies",
            "use cookies",
        ),
    )
    # Encyclopedic introductions: one short paragraph, facts and years, sometimes a list of names.
    reference = replace(
        web,
        name="reference",
        min_words=12,
        min_alphabetic_words=0.7,
        min_stop_words=2,
        max_duplicate_line_characters=0.2,
        min_punctuated_lines=None,
        max_short_lines=None,
        min_sentences=1,
        min_words_per_line=None,
        drop_phrases=("lorem ipsum",),
        drop_line_phrases=(),
    )
    # Chapters: parallelism is style ("And God said … and it was so"), so repeated short n-grams are no defect.
    scripture = replace(
        reference,
        name="scripture",
        min_words=50,
        max_top_ngram=((2, 0.20), (3, 0.18), (4, 0.16)),
        min_sentences=1,
    )
    prose = replace(scripture, name="prose")
    # Chats: short lines, no punctuation, ellipses and few stop words are how people type.
    dialogue = replace(
        web,
        name="dialogue",
        min_words=20,
        mean_word_length=(2.5, 10.0),
        max_ellipsis_lines=0.9,
        min_alphabetic_words=0.7,
        max_duplicate_line_characters=0.2,
        min_punctuated_lines=None,
        max_short_lines=None,
        max_newline_ratio=None,
        min_sentences=None,
        min_words_per_line=None,
        drop_phrases=("lorem ipsum",),
        drop_line_phrases=(),
    )
    return web, reference, scripture, prose, dialogue
