"""Two versions side by side: shuffled and without names until the vote, which is stored as it was cast."""

import random

import pytest
from gradio_client import Client

from modeling.rlhf.ratings.store import Store
from release import chat, second_opinions
from release.comparing import VERDICTS, compare
from release.gallery import Gallery
from release.loaded_models import Models, load
from tests.modeling.rlhf.ratings.test_store import vote as a_vote
from tests.release.conftest import served
from tests.shown import Shown

QUESTION = [{"role": "user", "content": "What is a llama?"}]


@pytest.fixture
def votes(ratings_address, monkeypatch) -> Store:
    monkeypatch.setenv(second_opinions.SHARE, "0")
    return Store.here()


@pytest.fixture(scope="module")
def models(bundle):
    return Models(Gallery(bundle))


@pytest.fixture
def client(bundle, votes):
    with served(Gallery(bundle)) as url:
        yield Client(url, verbose=False)


def run(models, seed, first="chat_model", second="sft_model"):
    return list(compare(models, "What is a llama?", first, second, random.Random(seed)))


def test_both_answers_grow_together_and_are_those_of_the_versions_alone(models, opened):
    shown = run(models, 1)
    last = shown[-1][0]
    assert last.ended and not any(now.ended for now, _ in shown[:-1]) and "better" in shown[-1][1]
    for version, answer, how in zip(last.versions, last.answers, last.sampling.values(), strict=True):
        loaded = load(opened.version(version.name).path)
        alone = list(chat.stream(loaded, QUESTION, chat.Settings(**how)))[-1]
        assert answer == alone.text
        assert how["temperature"] == opened.temperature(version.name)


def test_the_sides_are_shuffled(models):
    orders = {
        next(compare(models, "Hi", "chat_model", "sft_model", random.Random(seed)))[0].versions[0].name
        for seed in range(20)
    }
    assert orders == {"chat_model", "sft_model"}


@pytest.mark.parametrize(
    ("text", "first", "second", "told"),
    [("  ", "chat_model", "sft_model", "Write something"), ("x" * 20_001, "chat_model", "sft_model", "20,001 characters"),
     ("\ud800", "chat_model", "sft_model", "half a character"),
     ("Hi", "chat_model", "chat_model", "two different"), ("Hi", None, "sft_model", "two different"),
     ("sea " * 2000, "chat_model", "sft_model", "Too long")],
)  # fmt: skip
def test_what_cannot_be_compared_is_said(models, text, first, second, told):
    with pytest.raises(ValueError, match=told):
        list(compare(models, text, first, second, random.Random(0)))


def test_a_vote_says_what_the_person_chose(models):
    last = run(models, 1)[-1][0]
    cast = last.vote("me", "B is better", False, True, " it is true ")
    assert (cast.preferred, cast.degree, cast.safe_a, cast.safe_b, cast.reason) == ("b", 2, True, False, "it is true")
    assert (cast.version_a, cast.content_a) == (last.versions[0].name, last.versions[0].content)
    with pytest.raises(ValueError, match="which answer"):
        last.vote("me", "", False, False, "")
    with pytest.raises(ValueError, match="wait"):
        run(models, 1)[0][0].vote("me", "B is better", False, False, "")
    assert sorted(VERDICTS.values()) == [(side, degree) for side in "ab" for degree in range(4)]


def ask(client, text="What is a llama?", rater=""):
    job = client.submit(text, rater, "chat_model", "sft_model", api_name="/compare")
    job.result(timeout=60)
    return job.outputs()


def vote(client, verdict="A is better", unsafe_b=False, rater=""):
    return client.predict(rater, verdict, False, unsafe_b, "because <b>", api_name="/vote")


def text_of(value) -> str:
    return Shown(value).text if isinstance(value, str) else ""


def test_names_appear_only_after_the_vote(client, votes, opened):
    outputs = ask(client)
    before = " ".join(text_of(value) for output in outputs for value in output)
    titles = [opened.version(name).title for name in ("chat_model", "sft_model")]
    assert "Answer A" in before and not any(f": {title}" in before for title in titles)
    after = " ".join(text_of(value) for value in vote(client, unsafe_b=True))
    assert all(f": {title}" in after for title in titles) and "stored" in after
    (row,) = votes.counted("tiny")
    assert {row["version_a"], row["version_b"]} == {"chat_model", "sft_model"} and row["scale"] == opened.scale
    assert (row["preferred"], row["degree"], row["safe_a"], row["safe_b"]) == ("a", 2, True, False)
    assert len(row["rater"]) == 32 and row["messages"] == QUESTION and row["reason"] == "because <b>"


def test_one_comparison_is_one_vote(client, votes):
    ask(client)
    vote(client)
    assert "Compare two answers first" in text_of(vote(client)[0]) and votes.count("tiny") == 1


def test_without_a_verdict_nothing_is_stored_and_the_person_can_still_vote(client, votes):
    ask(client)
    assert "which answer is better" in text_of(vote(client, verdict=None)[0]) and votes.count("tiny") == 0
    assert "stored" in text_of(vote(client)[0]) and votes.count("tiny") == 1


@pytest.mark.parametrize("kept", ["x" * 100_000, "' OR 1=1 --", 7, True, "0" * 33])
def test_a_browser_that_keeps_anything_but_a_name_gets_one(client, votes, kept):
    ask(client)
    shown = client.predict(kept, "A is better", False, False, "", api_name="/vote")
    assert "stored" in text_of(shown[0])
    (row,) = votes.counted("tiny")
    assert row["rater"] != kept and len(row["rater"]) == 32


def test_two_servers_share_a_database(bundle, votes):
    with served(Gallery(bundle)) as one, served(Gallery(bundle)) as other:
        clients = [Client(url, verbose=False) for url in (one, other)]
        for each in clients:
            ask(each)
            assert "stored" in text_of(vote(each)[0])
        first, second = (each.predict(api_name="/standings") for each in clients)
    assert votes.count("tiny") == 2 and first == second and "2 votes of 2 raters" in first


def test_a_database_that_is_gone_is_said(client, monkeypatch):
    ask(client)
    monkeypatch.setenv("CRIA_RATINGS", "nosuch://host/db")
    assert "not stored" in text_of(vote(client)[0])
    assert "CRIA" in client.predict(api_name="/standings")


def test_a_vote_can_be_withdrawn_once(client, votes):
    ask(client)
    vote(client)
    assert "| 1 |" in client.predict(api_name="/standings")
    (row,) = votes.counted("tiny")
    # The page keeps the rater's name in the browser; this client has to bring it.
    assert "no vote" in text_of(client.predict("somebody else", api_name="/withdraw"))
    assert "Nobody" not in client.predict(api_name="/standings") and votes.withdraw(row["id"], row["rater"])
    assert "Nobody" in client.predict(api_name="/standings")


def test_another_rater_is_shown_the_same_pair_in_new_order_and_nothing_of_the_vote(bundle, votes, monkeypatch):
    with served(Gallery(bundle)) as url:
        one, other = Client(url, verbose=False), Client(url, verbose=False)
        ask(one, rater="1" * 32)
        vote(one, rater="1" * 32)
        monkeypatch.setenv(second_opinions.SHARE, "1")
        (first,) = votes.counted("tiny")
        shown = " ".join(text_of(value) for value in ask(other, "And a cria?", rater="2" * 32)[-1])
        assert "Another person asked this" in shown and "What is a llama?" in shown and "because" not in shown
        assert not any(f": {title}" in shown for title in ("Chat", "SFT")) and "1" * 8 not in shown
        assert "stored" in text_of(vote(other, "A is better", rater="2" * 32)[0])
        first, second = votes.counted("tiny")
        assert second["comparison"] == first["id"] == first["comparison"] and second["rater"] == "2" * 32
        flipped = "ba" if first["answer_a"] == second["answer_b"] else "ab"
        for name in ("answer", "version", "content"):
            assert [first[f"{name}_{side}"] for side in flipped] == [second[f"{name}_{side}"] for side in "ab"]
        assert [first["sampling"][side] for side in flipped] == [second["sampling"][side] for side in "ab"]
        assert first["messages"] == second["messages"]
        # The person's own message comes next, although each click would show another pair if there were one.
        shown = " ".join(text_of(value) for value in ask(other, "And a cria?", rater="2" * 32)[-1])
        assert "Another person" not in shown and "Which answer is better?" in shown
        assert "from 1 pair of answers" in one.predict(api_name="/standings")


def test_pairs_for_a_second_opinion_are_shuffled_and_as_many_as_the_share(opened, votes, monkeypatch):
    votes.add(a_vote(scale=opened.scale, content_a=opened.version("chat_model").content, version_b="gone"))
    drawn = second_opinions.drawn
    assert all(drawn(votes, opened, "r2", random.Random(seed)) is None for seed in range(20))
    monkeypatch.setenv(second_opinions.SHARE, "0.5")
    found = [drawn(votes, opened, "r2", random.Random(seed)) for seed in range(60)]
    shown = [one for one in found if one]
    assert 15 < len(shown) < 45 and {one.answers[0] for one in shown} == {"A camel.", "A bird."}
    for one in shown:
        side = one.answers.index("A camel.")
        assert one.versions[side].title == opened.version("chat_model").title and one.versions[1 - side].title == "gone"
    assert all(drawn(votes, opened, "r1", random.Random(seed)) is None for seed in range(20))


@pytest.mark.parametrize("stated", ["1.5", "-0.1", "often", "nan"])
def test_a_share_that_is_none_is_an_error_that_names_the_setting(monkeypatch, stated):
    monkeypatch.setenv(second_opinions.SHARE, stated)
    with pytest.raises(ValueError, match=second_opinions.SHARE):
        second_opinions.share()
