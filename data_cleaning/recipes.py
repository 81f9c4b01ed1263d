"""What the corpus is made with: one frozen dataclass a stage, no defaults (values live in orchestration/thresholds.py)."""

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import unquote

FIRST_SNAPSHOT = "base"  # the delivery of sources that name none; it is older than any other

# Metadata of a field that may change without changing a byte of what is made: "identity" names the property that stands for
# it where artifacts are told apart (orchestration/identity.py), "" where nothing does. The record holds the field all the same.
RECORDED = {"identity": ""}


@dataclass(frozen=True)
class Source:
    """One entry of sources.toml.

    `uri` is `pip://NAME==VERSION/PATH/IN/ARCHIVE`, `https://…`, `hf://datasets/ORG/NAME@REVISION/PATH`,
    `s3://…`, or a local file, folder or FOLDER#PATTERN. `sha256` pins the downloaded archive or file.
    """

    name: str
    uri: str = field(metadata={"identity": "takes"})
    sha256: str
    license: str = field(metadata=RECORDED)  # the release reads today's from the table
    reader: str  # a function of data_cleaning/reading/readers.py
    profile: str  # which quality profile judges its documents
    use: str  # corpus | dialogues | benchmarks | prompts | checkpoint | judge
    snapshot: str  # the delivery it belongs to
    factual: bool = field(metadata=RECORDED)  # seen factual_epochs times where the scale does not name it (paper 2.1)
    limit: int  # documents read, 0 = all
    opt_in: bool = field(metadata=RECORDED)  # skipped unless named in CRIA_OPT_IN

    @property
    def takes(self) -> str:
        """All that the bytes depend on in an address whose content is pinned: the file's name, and what is taken out of it.

        So a signed address may be signed again, and a file may move to a mirror.
        """
        scheme, mark, rest = self.uri.partition("://")
        if mark and scheme == "pip":
            return rest.partition("/")[2]
        address, _, member = (rest if mark else self.uri).partition("#")
        if mark and scheme != "hf":  # there, ? is a wildcard
            address = address.partition("?")[0]
        return f"{PurePosixPath(unquote(address)).name}#{member}"


@dataclass(frozen=True)
class SourcesRecipe:
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class ExtractRecipe:
    max_document_bytes: int
    max_archive_bytes: int  # bound on what one archive may unpack to
    max_archive_members: int  # and on how many files, folders and links it may hold
    shard_documents: int


@dataclass(frozen=True)
class LanguageRecipe:
    keep: tuple[str, ...]
    threshold: float  # paper A (Table 10): 0.5


@dataclass(frozen=True)
class QualityProfile:
    """Thresholds of the Gopher, C4 and FineWeb rules; a rule that does not apply to a kind of text is None."""

    name: str
    min_words: int
    max_words: int
    mean_word_length: tuple[float, float]
    max_symbol_word_ratio: float
    max_bullet_lines: float
    max_ellipsis_lines: float
    min_alphabetic_words: float
    min_stop_words: int
    max_duplicate_lines: float | None
    max_duplicate_paragraphs: float | None
    max_duplicate_line_characters: float | None
    max_duplicate_paragraph_characters: float | None
    max_top_ngram: tuple[tuple[int, float], ...]
    max_duplicate_ngrams: tuple[tuple[int, float], ...]
    min_punctuated_lines: float | None
    max_short_lines: float | None
    max_newline_ratio: float | None
    min_sentences: int | None
    min_words_per_line: int | None
    drop_phrases: tuple[str, ...]  # a document with one of them goes
    drop_line_phrases: tuple[str, ...]  # a line with one of them goes, the document stays


@dataclass(frozen=True)
class QualityRecipe:
    profiles: tuple[QualityProfile, ...]


@dataclass(frozen=True)
class PiiRecipe:
    kinds: tuple[str, ...]  # email, ip, phone, card
    phone_regions: tuple[
        str, ...
    ]  # ISO 3166: telephone numbers without a country's code are read by their numbering plans
    blocked_sites: tuple[str, ...]  # sites known to hold much personal information (paper 2.1)


@dataclass(frozen=True)
class DedupRecipe:
    shingle_words: int
    bands: int
    rows: int
    min_jaccard: float  # candidates below it after verification are kept
    seed: int


@dataclass(frozen=True)
class ContaminationRecipe:
    """A document's span that matches a benchmark sample (paper A.6, on words: the corpus precedes any tokenizer)."""

    ngram_words: int  # the shortest span that counts; paper A.6: longer than 10
    max_contaminated: float  # share of a sample's words found in one document from which that document goes
    skip_budget: int  # words in which a span may differ after its first `ngram_words` - 1 (paper A.6: 4)


@dataclass(frozen=True)
class ReportRecipe:
    samples_per_reason: int


@dataclass(frozen=True)
class CorpusRecipe:
    extract: ExtractRecipe
    language: LanguageRecipe
    quality: QualityRecipe
    pii: PiiRecipe
    dedup: DedupRecipe
    contamination: ContaminationRecipe
    report: ReportRecipe


@dataclass(frozen=True)
class MixtureRecipe:
    """Per-source epochs over the cleaned corpus; factual sources are up-sampled (paper 2.1)."""

    epochs: tuple[tuple[str, float], ...]  # source → times each document is seen
    factual_epochs: float  # for sources not named that are factual
    default_epochs: float  # for all others
    max_documents_per_source: int  # 0 = all
    heldout_documents: int  # per source, never trained on
    seed: int
