"""Personal information: replaces addresses and numbers by placeholders and drops documents of blocked sites.

The paper removes sites known to hold much personal information about private individuals (2.1). FineWeb and Dolma also
replace e-mail addresses and public IPs. The placeholders are Dolma's (`|||EMAIL_ADDRESS|||`). They do not occur in
natural text, so they can be counted. They are plain text for every tokenizer, unlike `<EMAIL>`, which looks like markup
or a special token. A model that writes one is easy to recognise, whereas an invented address (FineWeb's) looks like a
real one.

Precision comes before recall: a number becomes a placeholder only if its form or its check digit leaves little doubt,
so dates, verse numbers, ISBNs, years and version numbers stay.
"""

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_cleaning.documents import add_up, shard_paths, split_shard, text_bytes, write_shard
from data_cleaning.filters import cards, emails, ip_addresses, phones
from data_cleaning.recipes import EVERY_PII, PiiRecipe
from data_cleaning.shards import map_shards

# Records the position of each replacement, never its value: a list of removed addresses would itself leak them.
REPLACEMENT_SCHEMA = pa.schema(
    [("id", pa.string()), ("field", pa.string()), ("kind", pa.string()), ("start", pa.int64()), ("length", pa.int64())]
)
FIELDS = ("title", "text")  # training uses both; the texts of `meta` are cleaned too


@dataclass(frozen=True)
class Kind:
    """One kind of personal information: a fast test (RE2) that preselects texts, and a function that finds spans."""

    name: str
    placeholder: str
    hint: str  # matches every text that contains this kind
    spans: Callable[[str], Iterator[tuple[int, int]]]  # (start, end) in order, without overlap


PATTERNS = (
    Kind("email", "|||EMAIL_ADDRESS|||", emails.HINT, emails.email_spans),
    Kind("ip", "|||IP_ADDRESS|||", ip_addresses.HINT, ip_addresses.ip_spans),
    Kind("card", "|||CARD_NUMBER|||", cards.HINT, cards.card_spans),
)


def kinds_of(recipe: PiiRecipe) -> list[Kind]:
    """Returns the kinds that a recipe names, cards before phones: part of a card number looks like a phone number.

    Raises ValueError for an unknown kind.
    """
    spans = functools.partial(phones.phone_spans, regions=recipe.phone_regions)
    every = (*PATTERNS, Kind("phone", "|||PHONE_NUMBER|||", phones.HINT, spans))
    if unknown := sorted(set(recipe.kinds) - {kind.name for kind in every}):
        raise ValueError(f"PiiRecipe.kinds names {unknown}: known are {sorted(kind.name for kind in every)}")
    return [kind for kind in every if kind.name in recipe.kinds]


def replace_all(text: str, kinds: Sequence[Kind]) -> tuple[str, list[tuple[str, int, int]]]:
    """Returns the text with placeholders, and (kind, start, length) of each replacement.

    `start` counts in the text with the earlier kinds already replaced.
    """
    found: list[tuple[str, int, int]] = []
    for kind in kinds:
        parts, place = [], 0
        for start, end in kind.spans(text):
            found.append((kind.name, start, end - start))
            parts += [text[place:start], kind.placeholder]
            place = end
        if parts:
            text = "".join([*parts, text[place:]])
    return text, found


def masked(text: str) -> str:
    """Returns the text with placeholders of every kind, for reports that quote documents before this step."""
    return replace_all(text, kinds_of(EVERY_PII))[0]


def replace_in_meta(meta: str, kinds: Sequence[Kind]) -> tuple[str, list[tuple[str, str, int, int]]]:
    """Returns a document's meta (JSON) with placeholders in its texts, and (field, kind, start, length) of each."""
    values, found = json.loads(meta or "{}"), []
    for name, value in values.items():
        if isinstance(value, str):
            values[name], places = replace_all(value, kinds)
            found += [(f"meta.{name}", *place) for place in places]
    return (json.dumps(values, ensure_ascii=True, sort_keys=True), found) if found else (meta, [])


def site_of(meta: str) -> str:
    """Returns the host of the `url` in a document's meta (JSON), in lower case; "" if missing or not an address."""
    url = str(json.loads(meta or "{}").get("url", ""))
    try:
        return (urlsplit(url if "//" in url else f"//{url}").hostname or "").lower()
    except ValueError:
        return ""


def blocked_by(site: str, blocked: Sequence[str]) -> str | None:
    """Returns the blocked site that `site` is or belongs to (`people.example.com`: `example.com`), or None."""
    return next((name for name in blocked if site == name or site.endswith(f".{name}")), None)


def filter_shard(recipe: PiiRecipe, shard: Path, out: Path) -> dict:
    table = pq.read_table(shard)
    ids, metas = table["id"].to_pylist(), table["meta"].to_pylist()
    details = [None] * len(ids)
    if recipe.blocked_sites:
        details = [blocked_by(site_of(meta), recipe.blocked_sites) for meta in metas]
    kinds = kinds_of(recipe)
    replacements: dict[str, list] = {name: [] for name in REPLACEMENT_SCHEMA.names}
    figures = {f"replaced_{kind.name}": 0 for kind in kinds}

    def note(row: int, field: str, kind: str, start: int, length: int) -> None:
        figures[f"replaced_{kind}"] += 1
        for name, value in zip(REPLACEMENT_SCHEMA.names, (ids[row], field, kind, start, length), strict=True):
            replacements[name].append(value)

    columns = {"meta": metas}
    for row, meta in enumerate(metas):
        if details[row] is None:
            metas[row], found = replace_in_meta(meta, kinds)
            for place in found:
                note(row, *place)
    for field in FIELDS:
        columns[field] = table[field].to_pylist()
        suspects: set[int] = set()
        for kind in kinds:
            suspects.update(pc.indices_nonzero(pc.match_substring_regex(table[field], kind.hint)).to_pylist())
        for row in sorted(suspects):
            if details[row] is None:
                columns[field][row], found = replace_all(columns[field][row], kinds)
                for place in found:
                    note(row, field, *place)
    after = table
    for field, values in columns.items():
        place = table.schema.get_field_index(field)
        after = after.set_column(place, table.schema.field(place), pa.array(values, pa.string()))
    figures["documents_changed"] = len(set(replacements["id"]))
    if replacements["id"]:
        write_shard(pa.table(replacements, schema=REPLACEMENT_SCHEMA), out / "replacements" / shard.name)
    reasons = ["blocked_site" if detail else None for detail in details]
    figures |= split_shard(after, reasons, [1.0 if reason else None for reason in reasons], details, out, shard.name)
    return figures | {"bytes_in": text_bytes(table)}


def run(config: PiiRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Writes documents/ with placeholders, dropped/ (blocked sites), replacements/ (id, field, kind, start, length).

    Metrics count replaced_<kind> and documents_changed. Raises ValueError for an unknown kind.
    """
    kinds_of(config)
    figures = map_shards(functools.partial(filter_shard, config), shard_paths(inputs["quality"]), out, log)
    (out / "documents").mkdir(exist_ok=True)
    (out / "dropped").mkdir(exist_ok=True)
    zeros = {f"replaced_{kind}": 0 for kind in config.kinds} | {"documents_changed": 0}
    return zeros | add_up(figures)
