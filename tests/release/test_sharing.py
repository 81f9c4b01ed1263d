"""A dialogue is shared on a click, read at its link by whom the server lets in, taken up by others, and withdrawn."""

import httpx
import pytest
from gradio_client import Client

from modeling.rlhf.ratings.shared_dialogues import SharedDialogues
from release import history, share_controls, shared_page
from release.gallery import Gallery
from tests.release.browser import hostile
from tests.release.conftest import served
from tests.release.test_demo import say, texts
from tests.release.test_history import dialogue
from tests.shown import Shown

ANN, BO = "a" * 32, "b" * 32
TIMES = "2026-01-01T00:00:00", "2026-01-31T00:00:00"


@pytest.fixture
def shared(ratings_address) -> SharedDialogues:
    return SharedDialogues.here()


@pytest.fixture
def url(bundle, shared):
    with served(Gallery(bundle)) as address:
        yield address


def visitor(url: str) -> Client:
    return Client(url, verbose=False)


def share(client: Client, rater: str = ANN, system: str = "") -> tuple[str, str]:
    """(path of the link, state line) after a click on "Share this dialogue"."""
    path, *_, state = client.predict(rater, "chat_model", system, api_name="/share")
    return path, Shown(state).text


def read(url: str, path: str) -> httpx.Response:
    return httpx.get(url + path, trust_env=False)


def test_nothing_is_stored_before_the_click_and_an_empty_dialogue_is_not_shared(url, shared):
    client = visitor(url)
    assert share(client) == ("", "There is nothing to share yet.")
    say(client, "What is a llama?")
    assert shared.of(ANN) == []
    path, state = share(client)
    (row,) = shared.of(ANN)
    assert path == f"/shared/{row['id']}" and "is shared" in state


def test_the_link_shows_the_dialogue_and_no_name(url):
    client = visitor(url)
    asked = say(client, "What is a <b>llama</b>?", system="Be brief.")[-1][0]
    path, _ = share(client, system="Be brief.")
    answer = read(url, path)
    page = Shown(answer.text)
    assert answer.status_code == 200 and "What is a <b>llama</b>?" in page.text and "Be brief." in page.text
    assert texts(asked)[1].strip() in page.text and ANN not in answer.text
    assert ("href", f"/?continue={path.removeprefix('/shared/')}") in dict(page.tags)["a"]
    assert "script" not in dict(page.tags) and "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store" and answer.headers["referrer-policy"] == "no-referrer"


def test_another_person_goes_on_from_a_copy(url, shared):
    first = visitor(url)
    say(first, "What is a llama?")
    identifier = share(first, system="Be brief.")[0].removeprefix("/shared/")
    other = visitor(url)
    say(other, "Something else")
    messages, menu, system, state, _ = other.predict(identifier, api_name="/continue")
    assert texts(messages)[0] == "What is a llama?" and len(messages) == 2 and menu["value"] == "chat_model"
    assert system == "Be brief." and "A copy of a shared dialogue, 2 messages" in state
    assert len(say(other, "And a cria?")[-1][0]) == 4
    assert shared.get(identifier)["dialogue"].count("role") == 2, "the copy that is shared stays as it was"


def test_a_link_is_withdrawn_by_its_owner_alone(url, shared):
    client = visitor(url)
    say(client, "What is a llama?")
    path, _ = share(client)
    identifier = path.removeprefix("/shared/")
    assert "no link to withdraw" in client.predict(identifier, BO, api_name="/withdraw_link")[-1]
    assert read(url, path).status_code == 200
    again = visitor(url)
    assert again.predict("", BO, api_name="/links")[0]["choices"] == []
    ((label, value),) = again.predict("", ANN, api_name="/links")[0]["choices"]
    assert value == identifier and "What is a llama?" in label
    assert "is withdrawn" in again.predict(identifier, ANN, api_name="/withdraw_link")[-1]
    assert read(url, path).status_code == 404 and shared.of(ANN) == []
    assert shared_page.GONE in " ".join(map(str, visitor(url).predict(identifier, api_name="/continue")))


@pytest.mark.parametrize(
    "path", ["/shared/", "/shared/x", f"/shared/{'x' * 43}", f"/shared/{'x' * 42}/", "/shared/../x"]
)
def test_what_is_no_link_opens_nothing(url, path):
    assert read(url, path).status_code == 404


def test_a_database_that_is_gone_is_said(url, monkeypatch):
    client = visitor(url)
    say(client, "What is a llama?")
    monkeypatch.setenv("CRIA_RATINGS", "nosuch://host/db")
    assert "Not shared" in share(client)[1] and read(url, f"/shared/{'x' * 43}").status_code == 503


def test_hostile_texts_stay_text_and_a_version_that_is_gone_can_be_read():
    def page(text: str) -> Shown:
        copy, _ = history.saved(dialogue((text, "An answer"), version="gone", system=text))
        return Shown(shared_page.rendered("x" * 43, history.read_back(copy, None), *TIMES))

    wild = page("\n".join(hostile.TEXTS))
    assert wild.tags == page("word").tags and wild.text.count("\n".join(hostile.TEXTS)) == 2


@pytest.mark.parametrize("text", hostile.TEXTS)
def test_an_answer_brings_no_element_that_acts(text):
    copy, _ = history.saved(dialogue(("word", text)))
    page = Shown(shared_page.rendered("x" * 43, history.read_back(copy, None), *TIMES))
    brought = {tag for tag, _ in page.tags}
    assert not brought & {"script", "img", "iframe", "svg", "form", "input", "link", "object", "embed", "base"}
    assert sum(tag == "a" for tag, _ in page.tags) == 1


@pytest.mark.parametrize("stated", ["0", "-1", "soon", "inf", "nan", "5000"])
def test_days_that_are_none_are_an_error_that_names_the_setting(monkeypatch, stated):
    monkeypatch.setenv(share_controls.DAYS, stated)
    with pytest.raises(ValueError, match=share_controls.DAYS):
        share_controls.days()
