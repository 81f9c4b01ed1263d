"""Shared dialogues: read by their id alone, until they expire, are withdrawn or their owner is forgotten; in both databases."""

import re
import time

import pytest

from modeling.rlhf.ratings import forget, shared_dialogues
from modeling.rlhf.ratings.database import RatingsError
from modeling.rlhf.ratings.shared_dialogues import ID, MOST_BYTES, SharedDialogues
from modeling.rlhf.ratings.store import Store
from tests.modeling.rlhf.ratings.test_store import vote

SOON = 1e-9  # days


@pytest.fixture
def shared(ratings_address) -> SharedDialogues:
    return SharedDialogues.here()


def test_a_dialogue_is_read_by_its_id_and_listed_for_its_owner(shared):
    assert shared.get("x" * 43) is None and shared.of("r1") == []
    first = shared.add("r1", "one \u2028 é", 30)
    time.sleep(0.002)  # another millisecond
    second = shared.add("r1", "two", 30)
    shared.add("r2", "three", 30)
    assert re.fullmatch(ID, first) and first != second
    row = shared.get(first)
    assert (row["dialogue"], row["owner"]) == ("one \u2028 é", "r1") and row["made"] < row["expires"]
    assert [one["id"] for one in shared.of("r1")] == [second, first]


def test_only_its_owner_withdraws_a_dialogue(shared):
    identifier = shared.add("r1", "one", 30)
    assert not shared.withdraw(identifier, "r2") and shared.get(identifier)
    assert shared.withdraw(identifier, "r1") and not shared.withdraw(identifier, "r1")
    assert shared.get(identifier) is None


def test_what_has_expired_is_not_read_and_goes_with_the_next(shared):
    old = shared.add("r1", "old", SOON)
    time.sleep(0.002)
    assert shared.get(old) is None and shared.of("r1") == []
    assert shared.rows(shared_dialogues.SHARED.select()) != []
    new = shared.add("r2", "new", 30)
    assert [row["id"] for row in shared.rows(shared_dialogues.SHARED.select())] == [new]


def test_size_and_number_are_bounded(shared, monkeypatch):
    monkeypatch.setattr(shared_dialogues, "MOST_LINKS", 2)
    shared.add("r1", "é" * (MOST_BYTES // 2), 30)
    with pytest.raises(RatingsError, match="200,000 bytes"):
        shared.add("r1", "é" * (MOST_BYTES // 2 + 1), 30)
    shared.add("r1", "two", 30)
    with pytest.raises(RatingsError, match="withdraw one first"):
        shared.add("r1", "three", 30)
    assert len(shared.of("r1")) == 2 and shared.add("r2", "other", 30)


def test_who_is_forgotten_shares_nothing(shared, capsys):
    mine, others = shared.add("someone", "mine", 30), shared.add("r2", "other", 30)
    Store.here().add(vote(rater="someone"))
    assert forget.main(["someone"]) == 0
    assert "1 votes of someone, 0 votes of others on what someone asked, 1 shared dialogues" in capsys.readouterr().out
    assert shared.get(mine) is None and shared.get(others)


def test_a_withdrawn_dialogue_is_gone_from_the_disk(tmp_path):
    file = tmp_path / "ratings.sqlite"
    shared = SharedDialogues(f"sqlite:///{file}")
    identifier = shared.add("r1", "a secret of somebody", 30)
    on_disk = lambda: b"".join(each.read_bytes() for each in tmp_path.glob(f"{file.name}*"))  # noqa: E731
    assert b"a secret of somebody" in on_disk()
    assert shared.withdraw(identifier, "r1") and b"a secret of somebody" not in on_disk()


def test_a_database_of_votes_alone_gets_the_table(shared):
    Store.here().add(vote())
    with shared.connection() as connection:
        connection.exec_driver_sql("DROP TABLE shared_dialogues")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0002'")
    assert shared.of("r1") == [] and shared.add("r1", "one", 30) and Store.here().count("tiny") == 1
