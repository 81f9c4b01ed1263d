"""What the gates of the corpus let pass and what they stop, on artifacts that the stages made."""

import json
import re

import pytest

from data_cleaning import extract, gates
from data_cleaning.recipes import ExtractRecipe
from tests.data_cleaning.raw import sources_artifact

RECIPE = ExtractRecipe(max_document_bytes=1_000_000, max_archive_bytes=5_000_000, shard_documents=10)
ITEMS = json.dumps([{"text": f"A llama and {number} others."} for number in range(100)]).encode()
LINES = b"".join(b'{"text": "A llama and %d others."}\n' % number for number in range(4))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (ITEMS, None),
        (ITEMS[:-100], None),
        (ITEMS.replace(b"}, {", b"}, oops {", 1), r"own: 3\.\d kB of 3\.\d kB quarantined"),
        (LINES + b"{oops\n" * 5, "own: 5 of 9 records quarantined"),
        (b"{oops", "own gave no document"),
    ],
)
def test_most_of_every_source_must_be_read_by_count_and_by_bytes(tmp_path, log, data, why):
    """One entry in quarantine may stand for the rest of a file: a list that breaks near its start is lost all the same."""
    sources = sources_artifact(tmp_path / "sources", {"a.json": data}, bytes=len(data))
    out = tmp_path / "out"
    out.mkdir()
    metrics = extract.run(RECIPE, {"sources": sources}, out, log)
    passed, told, figures = gates.every_source_read(out, {"sources": sources}, RECIPE)
    assert passed == (why is None) and re.fullmatch(why or "every source was read", told), told
    assert figures == {name: metrics[f"{name}_out" if name == "documents" else name] for name in figures}
