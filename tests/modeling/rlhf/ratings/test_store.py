"""The store of votes: what was acknowledged is there, whoever wrote it and however its process ended."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from modeling.rlhf.ratings import forget
from modeling.rlhf.ratings.store import RatingsError, Store, Vote, digest


def vote(number: int = 0, **changes) -> Vote:
    values = {
        "rater": "r1", "scale": "tiny", "messages": [{"role": "user", "content": f"What is llama {number}? é\u2028"}],
        "answer_a": "A camel.", "answer_b": "A bird.", "version_a": "Chat", "version_b": "Base", "content_a": "c" * 64,
        "content_b": "b" * 64, "sampling": {"a": {"seed": 1}, "b": {"seed": 2}}, "preferred": "a", "degree": 2,
        "safe_a": True, "safe_b": False, "reason": "true",
    }  # fmt: skip
    return Vote(**values | changes)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(f"sqlite:///{tmp_path / 'new' / 'ratings.sqlite'}")


def test_a_vote_comes_back_as_it_was_cast(store):
    assert store.count("tiny") == 0 and store.counted("tiny") == [] and store.batches("tiny", 2) == (0, "")
    identifier = store.add(vote())
    (row,) = store.counted("tiny")
    assert row["id"] == identifier and row["messages"] == vote().messages and row["safe_b"] is False
    assert (row["preferred"], row["degree"], row["version_a"], row["reason"]) == ("a", 2, "Chat", "true")


def test_scales_are_apart(store):
    store.add(vote(1, scale="tiny"))
    store.add(vote(2, scale="laptop"))
    assert store.count("tiny") == store.count("laptop") == 1 and store.batches("laptop", 1)[0] == 1


def test_batches_are_complete_and_a_withdrawal_changes_them(store):
    first, second, third = (store.add(vote(number)) for number in range(3))
    rows = store.counted("tiny")
    assert [row["id"] for row in rows] == [first, second, third]
    assert store.batches("tiny", 2) == (2, digest(rows[:2])) and store.batches("tiny", 5) == (0, "")
    assert not store.withdraw(first, "somebody else") and not store.withdraw("none", "r1")
    assert store.withdraw(first, "r1") and not store.withdraw(first, "r1")
    assert store.count("tiny") == 2 and store.batches("tiny", 2) == (2, digest(rows[1:]))


def test_a_rater_is_forgotten_on_the_disk_too(store, monkeypatch, capsys):
    assert store.forget("r1") == 0
    for number in range(3):
        store.add(vote(number, rater="someone@example.org"))
    kept = store.add(vote(7))
    file = Path(sa.make_url(store.address).database)
    on_disk = lambda: b"".join(each.read_bytes() for each in file.parent.glob(f"{file.name}*"))  # noqa: E731
    assert b"someone@example.org" in on_disk()
    monkeypatch.setenv("CRIA_RATINGS", store.address)
    assert forget.main(["someone@example.org"]) == 0 and "3 votes" in capsys.readouterr().out
    assert b"someone@example.org" not in on_disk()
    assert [row["id"] for row in store.counted("tiny")] == [kept]
    assert forget.main([]) == 2 and "name one rater" in capsys.readouterr().err


@pytest.mark.parametrize("change", [{"preferred": "c"}, {"degree": 4}, {"messages": []},
                                    {"messages": [{"role": "assistant", "content": "x"}]}])  # fmt: skip
def test_a_vote_that_says_nothing_is_refused(change):
    with pytest.raises(ValueError, match="vote"):
        vote(**change)


def test_votes_of_several_servers_at_once_are_all_there(store):
    threads = [threading.Thread(target=lambda: [store.add(vote()) for _ in range(5)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.count("tiny") == 20


WRITER = """
import sys
from tests.modeling.rlhf.ratings.test_store import vote
from modeling.rlhf.ratings.store import Store
for number in range(10_000):
    print(Store(sys.argv[1]).add(vote(number)), flush=True)
"""


def test_acknowledged_votes_survive_a_kill(store):
    with subprocess.Popen([sys.executable, "-c", WRITER, store.address], stdout=subprocess.PIPE, text=True) as process:
        acknowledged = [process.stdout.readline().strip() for _ in range(20)]
        os.kill(process.pid, signal.SIGKILL)
        acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]
    there = [row["id"] for row in store.counted("tiny")]
    assert there[: len(acknowledged)] == acknowledged and len(there) <= len(acknowledged) + 1


@pytest.mark.parametrize("address", ["sqlite:////proc/none/ratings.sqlite", "nosuch://host/db", "no address"])
def test_a_database_that_cannot_be_used_is_an_error_that_names_the_variable(address):
    with pytest.raises(RatingsError, match="CRIA_RATINGS"):
        Store(address).add(vote())


def test_a_password_is_in_no_error():
    with pytest.raises(RatingsError) as error:
        Store("nosuch://me:secret@host/db").add(vote())
    assert "secret" not in str(error.value)
