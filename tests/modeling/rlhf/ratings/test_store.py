"""The store of votes: what was acknowledged is there, whoever wrote it and however its process ended, in both databases."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from modeling.rlhf.ratings import forget, schema
from modeling.rlhf.ratings.database import METADATA, RatingsError
from modeling.rlhf.ratings.store import Store, Vote, digest

SHUFFLE = random.Random(0)


def vote(number: int = 0, **changes) -> Vote:
    values = {
        "rater": "r1", "scale": "tiny", "messages": [{"role": "user", "content": f"What is llama {number}? é\u2028"}],
        "answer_a": "A camel.", "answer_b": "A bird.", "version_a": "Chat", "version_b": "Base", "content_a": "c" * 64,
        "content_b": "b" * 64, "sampling": {"a": {"seed": 1}, "b": {"seed": 2}}, "preferred": "a", "degree": 2,
        "safe_a": True, "safe_b": False, "reason": "true",
    }  # fmt: skip
    return Vote(**values | changes)


@pytest.fixture
def store(ratings_address) -> Store:
    return Store.here()


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


def test_a_rater_is_forgotten(store, capsys):
    assert store.forget("r1") == (0, 0)
    for number in range(3):
        store.add(vote(number, rater="someone@example.org"))
    kept = store.add(vote(7))
    assert forget.main(["someone@example.org"]) == 0 and "3 votes" in capsys.readouterr().out
    assert [row["id"] for row in store.counted("tiny")] == [kept]
    assert forget.main([]) == 2 and "name one rater" in capsys.readouterr().err


def test_a_rater_is_forgotten_on_the_disk_too(tmp_path):
    file = tmp_path / "ratings.sqlite"
    store = Store(f"sqlite:///{file}")
    store.add(vote(rater="someone@example.org"))
    store.add(vote())
    on_disk = lambda: b"".join(each.read_bytes() for each in tmp_path.glob(f"{file.name}*"))  # noqa: E731
    assert b"someone@example.org" in on_disk()
    assert store.forget("someone@example.org") == (1, 0)
    assert b"someone@example.org" not in on_disk() and store.count("tiny") == 1


def test_another_rater_judges_a_comparison_once_and_those_with_few_opinions_come_first(store):
    assert store.second_opinion("tiny", "r2", SHUFFLE) is None
    first = store.add(vote(1))
    store.add(vote(2, answer_b=" A camel. "))
    assert store.second_opinion("tiny", "r1", SHUFFLE) is None and store.second_opinion("laptop", "r2", SHUFFLE) is None
    shown = store.second_opinion("tiny", "r2", SHUFFLE)
    assert (shown["id"], shown["messages"], shown["sampling"]) == (first, vote(1).messages, vote().sampling)
    another = store.add(vote(1, rater="r2", comparison=first))
    assert [row["comparison"] for row in store.counted("tiny")][::2] == [first, first]
    assert store.second_opinion("tiny", "r2", SHUFFLE) is None
    store.withdraw(another, "r2")
    assert store.second_opinion("tiny", "r2", SHUFFLE) is None, "a rater is not asked again"
    store.add(vote(1, rater="r3", comparison=first))
    assert store.second_opinion("tiny", "r4", SHUFFLE)["id"] == first
    alone = store.add(vote(3))
    drawn = {store.second_opinion("tiny", "r4", SHUFFLE)["id"] for _ in range(40)}
    assert drawn == {first, alone}
    store.add(vote(1, rater="r5", comparison=first))
    assert store.second_opinion("tiny", "r4", SHUFFLE)["id"] == alone, "three raters are enough"


def test_a_comparison_whose_first_vote_is_withdrawn_gets_no_other_opinion(store):
    first = store.add(vote())
    store.withdraw(first, "r1")
    assert store.second_opinion("tiny", "r2", SHUFFLE) is None
    with pytest.raises(RatingsError, match="withdrawn meanwhile"):
        store.add(vote(rater="r2", comparison=first))
    assert store.count("tiny") == 0


def test_what_a_forgotten_rater_asked_goes_with_the_opinions_on_it(store):
    first = store.add(vote(1))
    mine = store.add(vote(2, rater="r2"))
    store.add(vote(1, rater="r2", comparison=first))
    store.add(vote(2, comparison=mine))
    assert store.forget("r1") == (2, 1)
    assert [row["id"] for row in store.counted("tiny")] == [mine]


@pytest.mark.parametrize("change", [{"preferred": "c"}, {"degree": 4}, {"messages": []},
                                    {"messages": [{"role": "assistant", "content": "x"}]}])  # fmt: skip
def test_a_vote_that_says_nothing_is_refused(change):
    with pytest.raises(ValueError, match="vote"):
        vote(**change)


def test_votes_of_several_threads_at_once_are_all_there(store):
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
for number in range(int(sys.argv[1])):
    print(Store.here().add(vote(number)), flush=True)
"""


def writer(votes: int) -> subprocess.Popen:
    """A process that writes to the database of CRIA_RATINGS and prints the id of each vote that was acknowledged."""
    return subprocess.Popen([sys.executable, "-c", WRITER, str(votes)], stdout=subprocess.PIPE, text=True)


def test_two_processes_write_at_once_to_a_database_that_is_still_empty(store):
    writers = [writer(50) for _ in range(2)]
    batches, votes = set(), []
    while len(votes) < 100 and any(each.poll() is None for each in writers):
        votes = store.counted("tiny")
        batches |= {store.batches("tiny", size) for size in (1, 10) if len(votes) >= size}
        # Whatever batch was planned, later votes leave it as it is.
        assert all(which == digest(store.counted("tiny", first=count)) for count, which in batches)
    acknowledged = [each.communicate()[0].split() for each in writers]
    there = [row["id"] for row in store.counted("tiny")]
    assert sorted(there) == sorted(sum(acknowledged, [])) and len(there) == 100
    assert all(mine == [one for one in there if one in set(mine)] for mine in acknowledged)


def test_acknowledged_votes_survive_a_kill(store):
    with writer(10_000) as process:
        acknowledged = [process.stdout.readline().strip() for _ in range(20)]
        os.kill(process.pid, signal.SIGKILL)
        acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]
    there = [row["id"] for row in store.counted("tiny")]
    assert there[: len(acknowledged)] == acknowledged and len(there) <= len(acknowledged) + 1
    assert store.add(vote()) == store.counted("tiny")[-1]["id"], "the killed writer holds no lock"


def test_acknowledged_votes_survive_the_end_of_the_database_server(postgres):
    address = postgres.database()
    store, acknowledged, failures = Store(address), [], []

    def writing():
        try:
            while True:
                acknowledged.append(store.add(vote()))
        except RatingsError as error:
            failures.append(error)

    thread = threading.Thread(target=writing)
    thread.start()
    while len(acknowledged) < 20 and thread.is_alive():
        time.sleep(0.01)
    postgres.kill()
    thread.join()
    postgres.start()
    there = [row["id"] for row in store.counted("tiny")]
    assert len(acknowledged) >= 20 and failures
    assert there[: len(acknowledged)] == acknowledged and len(there) <= len(acknowledged) + 1


def engine_of(store: Store) -> sa.Engine:
    return sa.create_engine(store.address, poolclass=sa.NullPool)


def test_the_revisions_make_the_tables_that_the_code_uses(store):
    store.add(vote())
    with engine_of(store).connect() as connection:
        made = MigrationContext.configure(connection)
        assert compare_metadata(made, METADATA) == [] and schema.is_current(connection)


def test_a_database_from_before_revisions_keeps_its_votes(store):
    first = store.add(vote(1))
    with engine_of(store).begin() as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")
        connection.exec_driver_sql("ALTER TABLE votes DROP COLUMN comparison")
        connection.exec_driver_sql("DROP TABLE shared_dialogues")
    assert [row["id"] for row in store.counted("tiny")] == [first]
    assert store.second_opinion("tiny", "r2", SHUFFLE) is None, "its rater was not told that others would see it"
    second = store.add(vote(2))
    assert store.count("tiny") == 2 and store.second_opinion("tiny", "r2", SHUFFLE)["id"] == second
    with engine_of(store).connect() as connection:
        assert schema.is_current(connection)


def test_a_database_of_a_newer_version_is_left_alone(store):
    store.add(vote())
    with engine_of(store).begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for use in (lambda: store.add(vote()), lambda: store.count("tiny")):
        with pytest.raises(RatingsError, match="newer version"):
            use()


def test_a_character_that_postgresql_refuses_is_replaced(store):
    store.add(vote(answer_a="a\x00b", reason="\x00", messages=[{"role": "user", "content": "c\x00"}]))
    (row,) = store.counted("tiny")
    assert (row["answer_a"], row["reason"]) == ("a\ufffdb", "\ufffd") and row["messages"][0]["content"] == "c\x00"


@pytest.mark.parametrize("address", ["sqlite:////proc/none/ratings.sqlite", "nosuch://host/db", "no address",
                                     "postgresql+psycopg://127.0.0.1:1/db"])  # fmt: skip
def test_a_database_that_cannot_be_used_is_an_error_that_names_the_variable(address):
    with pytest.raises(RatingsError, match="CRIA_RATINGS"):
        Store(address).add(vote())


@pytest.mark.parametrize("address", ["nosuch://me:secret@host/db", "postgresql+psycopg://me:secret@127.0.0.1:1/db"])
def test_a_password_is_in_no_error(address):
    with pytest.raises(RatingsError) as error:
        Store(address).add(vote())
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("driver, address, told", [
    ("psycopg", "postgresql://me@host/db", r"pip install 'psycopg\[binary\]'"),
    ("psycopg", "postgresql+psycopg://me@host/db", r"pip install 'psycopg\[binary\]'"),
    ("MySQLdb", "mysql://me@host/db", "need the driver MySQLdb, which is not installed"),
])  # fmt: skip
def test_a_driver_that_is_missing_is_named(monkeypatch, driver, address, told):
    monkeypatch.setitem(sys.modules, driver, None)  # Python then finds no such package
    for use in (lambda: Store(address).add(vote()), lambda: Store(address).count("tiny")):
        with pytest.raises(RatingsError, match=told):
            use()
