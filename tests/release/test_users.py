"""Users of the chat: who is let in, how their file is kept, and that a vote bears their name."""

import base64
import io
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from gradio_client import Client
from starlette.datastructures import Headers

from modeling.rlhf.ratings.shared_dialogues import SharedDialogues
from modeling.rlhf.ratings.store import Store
from release import demo, fair_share, users
from release.gallery import Gallery
from release.loaded_models import Models
from release.users import Users, UsersError
from tests.conftest import ROOT
from tests.release.api_client import wait_for
from tests.release.conftest import free_port
from tests.release.test_http_guard import Server

PASSWORD = "correct horse"


def basic(name: str, password: str = PASSWORD) -> str:
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "new" / "users"
    monkeypatch.setenv("CRIA_USERS", str(path))
    users.put(path, "ada", PASSWORD)
    return path


def named(found: Users, authorization: str) -> str | None:
    return found.name(Headers({"authorization": authorization}))


def test_a_right_password_and_nothing_else(file):
    found = Users.from_environment()
    for _ in range(2):  # the second time from memory
        assert named(found, basic("ada")) == named(found, f"Bearer ada:{PASSWORD}") == "ada"
        for wrong in (basic("ada", "wrong horse"), basic("eve"), basic("", ""), "Basic !!", "Basic", "", "Bearer ada",
                      f"Digest ada:{PASSWORD}", basic("ada", "")):  # fmt: skip
            assert named(found, wrong) is None
    assert found.name(Headers({})) is None


def test_the_file_holds_no_password_and_is_read_again(file):
    text = file.read_text()
    assert PASSWORD not in text and text.startswith("ada:scrypt$") and file.stat().st_mode & 0o077 == 0
    found = Users.from_environment()
    assert named(found, basic("ada")) == "ada" and named(found, basic("bo")) is None
    users.put(file, "bo", "another password")
    assert named(found, basic("bo", "another password")) == "bo"
    users.put(file, "ada", "a new password")
    assert named(found, basic("ada")) is None and named(found, basic("ada", "a new password")) == "ada"
    users.put(file, "ada", None)
    assert named(found, basic("ada", "a new password")) is None


def test_what_cannot_be_is_said(file, monkeypatch):
    for name, password, why in (("a:b", PASSWORD, "no name"), ("x" * 65, PASSWORD, "no name"), ("bo", "short", "fewer"),
                                ("bo", None, "no user bo")):  # fmt: skip
        with pytest.raises(UsersError, match=why):
            users.put(file, name, password)
    file.write_text("ada:secret\n")
    with pytest.raises(UsersError, match="line 1 is no user"):
        Users.from_environment()
    monkeypatch.setenv("CRIA_USERS", str(file.parent / "none"))
    with pytest.raises(UsersError, match="cannot be read"):
        Users.from_environment()
    monkeypatch.delenv("CRIA_USERS")
    assert Users.from_environment() is None
    monkeypatch.setenv("CRIA_USER_HEADER", "X User")
    with pytest.raises(UsersError, match="no name of a header"):
        Users.from_environment()


def test_a_proxys_header_names_one_user(monkeypatch):
    monkeypatch.setenv("CRIA_USER_HEADER", "X-Forwarded-User")
    found = Users.from_environment()
    assert found.name(Headers({"x-forwarded-user": "ada@example.org"})) == "ada@example.org"
    assert found.name(Headers({})) is found.name(Headers({"x-forwarded-user": "<b>"})) is None
    twice = Headers(raw=[(b"x-forwarded-user", b"ada"), (b"x-forwarded-user", b"eve")])
    assert found.name(twice) is None


def test_the_command_asks_for_the_password(file, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("another password\n"))
    assert users.main(["bo"]) == 0 and named(Users.from_environment(), basic("bo", "another password")) == "bo"
    assert (
        users.main(["bo", "--remove"]) == 0 and named(Users.from_environment(), basic("bo", "another password")) is None
    )
    assert users.main(["bo", "--remove"]) == 1 and "no user bo" in capsys.readouterr().err
    monkeypatch.delenv("CRIA_USERS")
    assert users.main(["bo"]) == 1 and "set CRIA_USERS" in capsys.readouterr().err


def test_other_machines_are_let_in_only_with_users(bundle):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CRIA_USER")}
    command = [sys.executable, "-m", "release.demo", "--bundle", str(bundle), "--host", "0.0.0.0", "--port", "1"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 1 and "name the users in CRIA_USERS" in ended.stderr and "Traceback" not in ended.stderr


def test_guesses_of_passwords_keep_nobody_out_who_is_in(server):
    known = {"Authorization": basic("ada")}
    assert server.ask("GET", "/v1/models", **known)[0] == 200
    with ThreadPoolExecutor(40) as pool:
        guesses = [
            pool.submit(server.ask, "GET", "/v1/models", Authorization=basic("ada", f"guess {n}")) for n in range(40)
        ]
        assert server.ask("GET", "/v1/models", **known)[0] == 200
        assert {guess.result()[0] for guess in guesses} == {401, 429}
    assert server.ask("GET", "/v1/models", Authorization=basic("ada", "guess again"))[0] == 401


def test_a_user_alone_cannot_fill_the_line(server, held, file, shares):
    users.put(file, "bo", PASSWORD)
    asked, go = held
    body = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2})

    def ask(name: str) -> tuple[int, dict, bytes]:
        return server.ask("POST", "/v1/chat/completions", body, Authorization=basic(name))

    with ThreadPoolExecutor(4) as pool:
        first = [pool.submit(ask, "ada") for _ in range(2)]
        wait_for(lambda: shares() == {"ada": 2})
        status, headers, told = ask("ada")
        assert status == 429 and int(headers["retry-after"]) > 0 and b"2 of your answers are under way" in told
        client = Client(f"http://127.0.0.1:{server.port}", verbose=False, headers={"Authorization": basic("ada")})
        shown = client.predict("Hi", "chat_model", "", 0, 1, 5, api_name="/chat")
        assert "2 of your answers are under way" in shown[2]
        other = pool.submit(ask, "bo")
        wait_for(lambda: shares() == {"ada": 2, "bo": 1})
        go.set()
        assert [answer.result()[0] for answer in (*first, other)] == [200, 200, 200]
    assert shares() == {}


@pytest.fixture
def shares(monkeypatch):
    """Function that returns how many answers of each user are under way on the server of this test."""
    made = []

    def make(gallery):
        made.append(Models(gallery))
        return made[-1]

    monkeypatch.setattr(demo, "Models", make)
    return lambda: dict(made[-1].shares._under_way)


@pytest.fixture
def server(bundle, file, shares, tmp_path, monkeypatch):
    monkeypatch.setattr(fair_share, "MOST_OF_ONE", 2)
    monkeypatch.setenv("CRIA_RATINGS", f"sqlite:///{tmp_path / 'ratings.sqlite'}")
    port = free_port()
    running = demo.server(Gallery(bundle, None, ()), "127.0.0.1", port, Users.from_environment())
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.1)
    yield Server(port, tmp_path)
    running.should_exit = True
    thread.join(timeout=20)


def test_strangers_see_nothing_and_a_vote_bears_its_users_name(server, bundle):
    for path in ("/", "/config", "/v1/models", "/gradio_api/info", f"/shared/{'x' * 43}"):
        status, headers, body = server.ask("GET", path)
        assert status == 401 and headers["www-authenticate"].startswith("Basic") and len(body) < 300
    assert server.ask("GET", "/v1/models", Authorization=f"Bearer ada:{PASSWORD}")[0] == 200
    assert server.ask("GET", "/", Authorization=basic("ada"))[0] == 200
    asked = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2})
    assert server.ask("POST", "/v1/chat/completions", asked)[0] == 401
    # A client cannot name itself.
    client = Client(f"http://127.0.0.1:{server.port}", verbose=False,
                    headers={"Authorization": basic("ada"), "X-Cria-User": "eve"})  # fmt: skip
    client.predict("Tell me about the sea.", "", "chat_model", "sft_model", api_name="/compare")
    client.predict("", "A is better", False, False, "", api_name="/vote")
    (vote,) = Store.here().counted(Gallery(bundle, None, ()).now().scale)
    assert vote["rater"] == "ada"


def test_a_name_with_an_accent_is_the_one_that_can_be_forgotten(server, bundle, file):
    users.put(file, "zoë", PASSWORD)
    client = Client(f"http://127.0.0.1:{server.port}", verbose=False, headers={"Authorization": basic("zoë")})
    client.predict("Tell me about the sea.", "", "chat_model", "sft_model", api_name="/compare")
    client.predict("", "A is better", False, False, "", api_name="/vote")
    client.predict("Hi", "chat_model", "", 0, 1, 5, api_name="/chat")
    client.predict("", "chat_model", "", api_name="/share")
    assert Store.here().forget("zoë") == (1, 0) and SharedDialogues.here().forget("zoë") == 1
