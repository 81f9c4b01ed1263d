"""Shapes of dialogue data: each is recognised by its keys, what is unusable has a reason, and the rest is an error."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modeling.dialogues import shaped_files, shapes
from modeling.dialogues.shapes import Dialogue, Preference, Rated, Unusable
from tests.data_cleaning.samples import LINE_SEPARATORS

USER, BOT = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}
SYSTEM = {"role": "system", "content": "Be kind."}


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [USER, BOT]},
        {"messages": [{"role": "system", "content": " "}, USER, BOT, USER]},  # the last question has no answer
        {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}], "tools": "[]"},
        {"prompt": "Why?", "completion": "So."},
        {"prompt": [USER], "completion": [BOT]},
        {"question": "Why?", "answer": "So."},
        {"instruction": "Why?", "input": "", "output": "So."},
        {"instruction": "Why?", "context": "", "response": "So.", "category": "open_qa"},
    ],
)
def test_dialogues(row):
    assert shapes.read(row) == Dialogue((USER, BOT))


def test_what_belongs_to_an_instruction_stands_below_it_and_a_system_prompt_first():
    read = shapes.read({"instruction": "Sum up.", "input": "A text.", "output": "So.", "system": "Be kind."})
    assert read == Dialogue((SYSTEM, {"role": "user", "content": "Sum up.\nA text."}, BOT))


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Why?", "chosen": "So.", "rejected": "No."},
        {"prompt": "Why?", "positive": "So.", "negative": "No.", "domain": "x"},
        {"prompt": [USER], "chosen": [BOT], "rejected": [{"role": "assistant", "content": "No."}]},
        {"prompt": "Why?", "chosen": [USER, BOT], "rejected": [USER, {"role": "assistant", "content": "No."}], "score": 1.0},
        {"chosen": [USER, BOT], "rejected": [USER, {"role": "assistant", "content": "No."}]},
        {"chosen": "\n\nHuman: Why?\n\nAssistant: So.", "rejected": "\n\nHuman: Why?\n\nAssistant: No."},
        {"conversations": [{"from": "human", "value": "Why?"}], "chosen": {"from": "gpt", "value": "So."},
         "rejected": {"from": "gpt", "value": "No."}},
        {"prompt": "Why?", "response_0": "No.", "response_1": "So.", "better_response_id": 1},
        {"context": [USER], "response1": "So.", "response2": "No.", "overall_preference": -2},
        {"context": [USER], "response1": "No.", "response2": "So.", "overall_preference": 1},
    ],
)  # fmt: skip
def test_preferences(row):
    assert shapes.read(row) == Preference((USER,), "So.", "No.")


@pytest.mark.parametrize(
    ("rating", "value", "good"),
    [({"label": True}, 1.0, True), ({"label": False}, 0.0, False), ({"score": 7.5}, 7.5, False)],
)
def test_rated_answers(rating, value, good):
    assert shapes.read({"messages": [USER, BOT], **rating}) == Rated((USER,), "So.", value, good)
    assert shapes.read({"prompt": "Why?", "completion": "So.", **rating}) == Rated((USER,), "So.", value, good)


def test_a_label_in_words_is_no_rating():
    assert shapes.read({"messages": [USER, BOT], "label": "finance"}) == Dialogue((USER, BOT))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": [USER, {"role": "tool", "content": "{}"}, BOT]}, "tool calls"),
        ({"messages": [USER, USER, BOT]}, "alternate"),
        ({"messages": [USER]}, "no answer"),
        ({"messages": []}, "no answer"),
        ({"messages": [USER, {"role": "assistant", "content": ""}]}, "empty"),
        ({"messages": [USER, {"role": "assistant", "content": [{"type": "image"}]}]}, "no text"),
        ({"prompt": "Why?", "chosen": "So.", "rejected": "So."}, "the same"),
        ({"prompt": "Why?", "chosen": "", "rejected": "So."}, "no answer"),
        ({"context": [USER], "response1": "a", "response2": "b", "overall_preference": 0}, "neither"),
    ],
)
def test_what_is_unusable_has_a_reason(row, reason):
    with pytest.raises(Unusable, match=reason):
        shapes.read(row)


@pytest.mark.parametrize("row", [{"foo": 1, "text": "So."}, {"prompt": "Why?"}, {"chosen": "So."}, ["Why?"], "Why?"])
def test_an_unknown_shape_is_an_error(row):
    with pytest.raises(ValueError) as error:
        shapes.read(row)
    assert not isinstance(error.value, Unusable)


def test_the_error_names_file_place_and_keys_and_lists_the_shapes(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"messages": []}\n\n{"text": "So.", "foo": 1}\n')
    (_, _), (place, row) = shaped_files.rows(path)
    with pytest.raises(
        ValueError, match=r"mine\.jsonl, line 3: no known shape, its keys are: foo, text\. .*chosen and rejected"
    ):
        shaped_files.read(path, place, row)


def written(folder, rows) -> dict:
    """The rows in each kind of file."""
    lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    (folder / "a.jsonl").write_text(lines, encoding="utf-8")
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (folder / "a.json").write_text(json.dumps(rows))
    (folder / "named.json").write_text(json.dumps({f"n{n}": row for n, row in enumerate(rows)}))
    (folder / "listed.json").write_text(json.dumps({"train": rows}))
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet")
    return {path.name: [row for _, row in shaped_files.rows(path)] for path in sorted(folder.iterdir())}


def test_every_kind_of_file_holds_the_same_rows(tmp_path):
    rows = [{"prompt": f"Why {n}?", "completion": f"So{LINE_SEPARATORS}{n}."} for n in range(3)]
    found = written(tmp_path, rows)
    assert len(found) == 6 and all(read == rows for read in found.values())


def test_a_file_that_is_cut_off_gives_the_rows_before_the_cut(tmp_path):
    (tmp_path / "a.json").write_text('[{"prompt": "Why?", "completion": "So."}, {"prompt": "Wh')
    assert len(list(shaped_files.rows(tmp_path / "a.json"))) == 1
    (tmp_path / "b.json").write_text("Why?")
    with pytest.raises(ValueError, match=r"b\.json: no JSON"):
        list(shaped_files.rows(tmp_path / "b.json"))


def test_files_are_found_by_the_use_of_their_source(tmp_path):
    for name in ("mine/a.jsonl", "mine/notes.txt", "theirs/deep/b.parquet", "other/c.json"):
        (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / name).write_text("")
    uses = [
        {"name": "mine", "use": "dialogues"},
        {"name": "theirs", "use": "preferences"},
        {"name": "other", "use": "prompts"},
    ]
    (tmp_path / "sources.json").write_text(json.dumps(uses))
    found = [(path.name, source) for path, source in shaped_files.used_as(tmp_path, "dialogues", "preferences")]
    assert found == [("a.jsonl", "mine"), ("b.parquet", "theirs")]
