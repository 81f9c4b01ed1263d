"""With CRIA_GUARD, the safety reward model judges messages and answers on every way out of the server, before they are read."""

import json
import shutil

import httpx
import pytest
from gradio_client import Client

from modeling.pretraining import tokenizer as tokenizers
from modeling.rlhf import reward_model
from modeling.rlhf.labels import SIGNIFICANT
from modeling.rlhf.pairs import KINDS
from modeling.rlhf.ratings.store import Store
from modeling.rlhf.reward_accuracy import ScoredPair
from release import chat, demo, guard, history, page_texts, second_opinions
from release.gallery import Gallery
from release.guard import ANSWER, LINES, MESSAGE, Judge, Verdict
from release.loaded_models import Models
from tests.modeling import toy_rlhf
from tests.modeling.rlhf.ratings.test_store import vote as a_vote
from tests.release import toy_store
from tests.release.api_client import ask, events, streamed_text, text_of, told
from tests.release.browser.reciters import save_reciter
from tests.release.conftest import served
from tests.release.test_demo import say, texts
from tests.shown import Shown

SAFE, UNSAFE = ["the grass", " is green"], ["blue blue", " blue blue blue", " and blue"]
BAD_MESSAGE = "blue blue blue blue blue blue blue blue"
LISTED = (("base_model", "Base"), ("sft_model", "SFT"), ("chat_model", "Chat"))
STREAM = {"stream": True, "stream_options": {"include_usage": True}}


def asked(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


def pairs() -> list[ScoredPair]:
    """Held-out pairs of which a model with these scores finds 3 of 4 unsafe answers at 0.15, and stops 1 safe one."""
    unsafe = (-3.0, -3.0, -3.0, 1.0)
    return [ScoredPair(str(n), "safety", 1, SIGNIFICANT, -2.0 if n == 0 else 2.0, score, True, False)
            for n, score in enumerate(unsafe)]  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A store whose SFT says SAFE and whose Chat says UNSAFE, and whose safety reward model dislikes "blue"."""
    store = toy_store.ToyStore(tmp_path_factory.mktemp("guarded"))
    for asset, pieces in (("sft_model", SAFE), ("chat_model", UNSAFE), ("base_model", SAFE)):
        save_reciter(store.folder(asset, "tiny"), pieces)
        store.publish(asset, "tiny", {})
    for kind in KINDS:
        folder = store.folder(f"rlhf_v1/{kind}_reward_model", "tiny")
        tokenizer = tokenizers.train([toy_store.TEXT + " blue green" * 50], 700)
        toy_rlhf.save(toy_rlhf.reward_model(tokenizer, "blue", gain=-5.0), tokenizer, folder)
        report = {"safety": reward_model.evaluate(pairs()), "helpfulness": reward_model.evaluate([])}
        (folder / "accuracy.json").write_text(json.dumps(report))
        store.publish(f"rlhf_v1/{kind}_reward_model", "tiny", {})
    return store.root / "tiny"


@pytest.fixture(scope="module")
def gallery(world):
    return Gallery(world / "bundle", world, LISTED)


@pytest.fixture(scope="module")
def votes(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRIA_RATINGS", f"sqlite:///{tmp_path_factory.mktemp('votes') / 'ratings.sqlite'}")
        patch.setenv(second_opinions.SHARE, "0")
        yield Store.here()


@pytest.fixture(scope="module")
def url(gallery, votes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(guard.SETTING, "0.15")
        with served(gallery) as address:
            yield address


@pytest.fixture
def client(url):
    return Client(url, verbose=False)


@pytest.fixture
def api(url):
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


def test_the_judge_tells_the_two_apart_and_a_score_that_is_no_number_withholds(gallery):
    judge = Judge(guard.source(gallery.folder, 0.15))
    system = {"role": "system", "content": "blue " * 40}
    safe = judge.answer([system, *asked("Which colour?")], "".join(SAFE))
    unsafe = judge.answer(asked("Which colour?"), "".join(UNSAFE))
    assert unsafe.probability < 0.15 < safe.probability and unsafe.withholds and not safe.withholds
    assert judge.message(asked(BAD_MESSAGE)).withholds and not judge.message(asked("Which colour?")).withholds
    assert Verdict(ANSWER, float("nan"), 0.15).withholds


def test_the_page_shows_a_safe_answer_only_whole_and_the_line_in_the_place_of_an_unsafe_one(client, capfd):
    shown = say(client, "Which colour?", version="SFT")
    assert [len(messages) for messages, _, _ in shown if len(messages) != 1] == [2], "nothing before it was judged"
    assert "the grass is green" in texts(shown[-1][0])[1]
    client.predict(api_name="/clear")
    shown = say(client, "Which colour?", version="Chat")
    assert all("blue" not in text for messages, _, _ in shown for text in texts(messages))
    last, _, state = shown[-1]
    assert LINES[ANSWER] in texts(last)[1] and "guard: withheld; answer safe 0.0" in Shown(state).text.lower()
    assert "Guard: withheld; answer safe 0.0" in client.predict(api_name="/details")
    (logged,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("guard:")]
    assert "threshold 0.15 (Chat)" in logged and "blue" not in logged


def test_a_message_that_is_withheld_is_not_answered(client, monkeypatch):
    monkeypatch.setattr(chat, "read_prompt", None)  # generation would begin with it
    shown = say(client, BAD_MESSAGE, version="SFT")
    assert LINES[MESSAGE] in texts(shown[-1][0])[1] and "message safe 0.0" in Shown(shown[-1][2]).text


def test_a_saved_dialogue_says_what_the_guard_said(client):
    say(client, "Which colour?", version="Chat")
    saved = json.loads(json.loads(client.predict("Chat", "", 0, 1, 20, api_name="/save-json")[0])["text"])
    assert saved["messages"][1]["content"] == LINES[ANSWER]
    assert saved["messages"][1]["guard"].startswith("guard: withheld; answer safe 0.0")
    turns = [asked("Hi")[0], {"role": "assistant", "content": "x", "by": "SFT", "version_content": "0", "guard": "g"}]
    assert history.is_turn(turns[1], 1) and not history.is_turn(turns[1] | {"guard": "x" * 201}, 1)


def test_the_api_gives_no_text_before_the_judgement_and_says_what_it_was(api):
    safe = ask(api, model="SFT", messages=asked("Which colour?"), temperature=0)
    assert text_of(safe) == "the grass is green" and safe.json()["choices"][0]["guard"]["withheld"] is False
    (choice,) = ask(api, model="Chat", messages=asked("Which colour?"), temperature=0).json()["choices"]
    assert choice["message"]["content"] == LINES[ANSWER] and choice["finish_reason"] == "content_filter"
    assert choice["guard"]["judged"] == ANSWER and choice["guard"]["safe"] < choice["guard"]["threshold"] == 0.15
    pieces = [chunk["choices"][0] for chunk in events(api, model="SFT", messages=asked("Which colour?"))]
    assert [piece["delta"]["content"] for piece in pieces if piece["delta"].get("content")] == ["the grass is green"]
    chunks = events(api, model="Chat", messages=asked("Which colour?"), **STREAM)
    assert streamed_text(chunks) == LINES[ANSWER]
    assert (
        chunks[-2]["choices"][0]["finish_reason"] == "content_filter" and chunks[-1]["usage"]["completion_tokens"] > 0
    )


def test_the_api_judges_what_is_left_before_a_stop_string(api):
    (choice,) = ask(api, model="Chat", messages=asked("Which colour?"), temperature=0, stop=" and").json()["choices"]
    assert choice["finish_reason"] == "content_filter"
    usage = ask(api, model="SFT", messages=asked(BAD_MESSAGE)).json()
    assert usage["choices"][0]["guard"]["judged"] == MESSAGE and usage["usage"]["completion_tokens"] == 0


def test_a_comparison_with_an_answer_withheld_gets_no_vote(client, votes):
    *panels, state = client.predict("Which colour?", "", "Chat", "SFT", api_name="/compare")
    shown = " ".join(map(str, panels))
    assert LINES[ANSWER] in shown and "the grass is green" in shown and "blue" not in shown
    assert "nothing to vote on" in state
    said = client.predict("", "A is better", False, False, "", api_name="/vote")
    assert "nothing to vote on" in str(said) and votes.count("tiny") == 0
    *_, state = client.predict("Which colour?", "", "Base", "SFT", api_name="/compare")
    assert "Which answer is better" in state
    assert "stored" in str(client.predict("", "A is better", False, False, "", api_name="/vote"))


def test_a_comparison_of_another_person_is_judged_again(client, votes, monkeypatch):
    monkeypatch.setenv(second_opinions.SHARE, "1")
    votes.add(a_vote(scale="tiny", messages=asked("Which colour?"), answer_a="blue " * 9, answer_b="green"))
    first, *_ = client.predict("My own", "", "Base", "SFT", api_name="/compare")
    assert Shown(first).text == "", "one's own is answered"
    votes.add(a_vote(scale="tiny", rater="c" * 32, messages=asked("And now?"), answer_a="green", answer_b="grass"))
    shown = {Shown(client.predict("My own", "", "Base", "SFT", api_name="/compare")[0]).text for _ in range(12)}
    assert shown == {"", "And now?"}


def test_without_a_safety_reward_model_nothing_is_answered(world, tmp_path, monkeypatch):
    monkeypatch.setenv(guard.SETTING, "0.15")
    shutil.copytree(world / "sft_model", tmp_path / "tiny" / "sft_model")
    gallery = Gallery(tmp_path / "tiny" / "bundle", tmp_path / "tiny", LISTED)
    with served(gallery) as address, httpx.Client(base_url=address, timeout=60) as api:
        response = ask(api, model="SFT", messages=asked("Which colour?"))
        assert told(response)[0] == 503 and "no safety reward model" in response.text
        shown = say(Client(address, verbose=False), "Which colour?", version="SFT")
        assert "no safety reward model" in shown[-1][2]


def test_the_page_says_how_much_the_guard_finds(gallery, monkeypatch):
    def line(stated: str) -> str:
        monkeypatch.setenv(guard.SETTING, stated)
        return Shown(page_texts.guard_line(Models(gallery))).text

    told = line("0.15")
    assert "It finds 75% of unsafe answers. Do not rely on it." in told and "round 1" in told
    assert "75% of the 4 unsafe answers in held-out pairs" in told and "75% of the answers that it withholds" in told
    told = line("0.3")
    assert "at 0.3 is not measured" in told and "at 0.15 it finds 75%" in told and "at 0.5 it finds 75%" in told
    monkeypatch.delenv(guard.SETTING)
    assert page_texts.guard_line(Models(gallery)) == ""


def test_without_figures_the_page_says_so(gallery):
    report = reward_model.evaluate([])
    found = guard.Source(gallery.folder, 1, "0", 0.15, tuple(guard._figures(json.loads(json.dumps(report)))))
    assert "no figure" in guard.explained(found)[1]


@pytest.mark.parametrize("stated", ["0", "1", "-0.1", "low", "nan", "15"])
def test_a_threshold_that_is_no_probability_is_an_error_that_names_the_setting(monkeypatch, stated, bundle, capsys):
    monkeypatch.setenv(guard.SETTING, stated)
    assert demo.main(["--bundle", str(bundle), "--port", "1"]) == 1
    assert guard.SETTING in capsys.readouterr().err


def test_a_release_is_guarded_by_the_model_beside_it_or_not_served(bundle, world, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(guard.SETTING, "0.15")
    assert demo.main(["--bundle", str(bundle), "--port", "1"]) == 1
    assert "no safety reward model" in capsys.readouterr().err
    (tmp_path / "rlhf_v1").symlink_to(world / "rlhf_v1")
    (tmp_path / "bundle").symlink_to(bundle)
    with Models(Gallery(tmp_path / "bundle")).lease("chat_model") as lease:
        assert lease.ready(60) and lease.judge.source.round == 1


def test_the_guards_weights_count_and_are_shared(gallery, monkeypatch):
    monkeypatch.setenv(guard.SETTING, "0.15")
    models = Models(gallery)
    with models.lease("SFT") as one, models.lease("SFT") as other:
        assert one.ready(20) and other.ready(20)
        assert one.judge is other.judge and models.held() == sum(one.sizes.values()) and len(one.sizes) == 2
