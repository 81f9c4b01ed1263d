import http.server
import json
import threading
import urllib.request

import pytest

from modeling.rlhf import annotator, labels
from modeling.rlhf.labels import Label, TiedError
from modeling.rlhf.model_annotator import JudgeAnnotator, JudgeError, parse_verdict
from tests.modeling.rlhf.test_annotator import CUT, GOOD, REFERENCE, prompt


class Judge(http.server.BaseHTTPRequestHandler):
    """A server that keeps requests and answers from a list; an int is an HTTP status."""

    replies: list = []
    requests: list = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.requests.append((self.path, self.headers.get("Authorization"), body))
        reply = self.replies.pop(0)
        if isinstance(reply, int):
            self.send_error(reply)
            return
        code, data = 401, reply  # bytes are an error's text
        if isinstance(reply, str):
            code, data = 200, json.dumps({"choices": [{"message": {"role": "assistant", "content": reply}}]}).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def judge():
    Judge.replies, Judge.requests = [], []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Judge)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield JudgeAnnotator(f"http://127.0.0.1:{server.server_port}/v1", "judge-7b", "secret", pause_s=0.01)
    server.shutdown()
    thread.join()
    server.server_close()


def verdict(better, degree, safe_a=True, safe_b=True):
    return json.dumps({"better": better, "degree": degree, "safe_a": safe_a, "safe_b": safe_b})


def test_judge_is_asked_in_both_orders_over_http(judge):
    Judge.replies = [f"Here it is: {verdict('A', 3)}", verdict("B", 2, safe_a=False)]
    # The second reply is about the swapped pair: its A is our b.
    assert judge.label(prompt("What is granite?"), GOOD, CUT) == Label("a", 2, True, False)
    (path, key, first), (_, _, second) = Judge.requests
    assert (path, key, first["model"], first["temperature"]) == ("/v1/chat/completions", "Bearer secret", "judge-7b", 0)
    assert first["messages"][1]["content"].endswith(f"Answer A:\n{GOOD}\n\nAnswer B:\n{CUT}")
    assert second["messages"][1]["content"].endswith(f"Answer A:\n{CUT}\n\nAnswer B:\n{GOOD}")
    assert REFERENCE not in json.dumps(Judge.requests)
    assert judge.name == "judge:judge-7b"


def test_a_judge_that_likes_the_first_place_is_unsure(judge):
    Judge.replies = [verdict("A", 3), verdict("A", 1)]
    assert judge.label(prompt("What is granite?"), GOOD, CUT) == Label("a", 0, True, True)
    # Equally sure of the first place in both orders: neither answer is better.
    Judge.replies = [verdict("A", 2)] * 2
    with pytest.raises(TiedError):
        judge.label(prompt("What is granite?"), GOOD, CUT)
    # The same answer in both orders, negligibly: the judge decides, and no hash.
    for number in range(20):
        Judge.replies = [verdict("B", 0), verdict("A", 0)]
        label = judge.label(prompt("What is granite?") | {"id": f"p{number}"}, GOOD, CUT)
        assert label == Label("b", 0, True, True)


def test_judge_retries_a_busy_server_and_reports_a_broken_one(judge):
    Judge.replies = [503, verdict("B", 1), 429, verdict("A", 1)]
    assert judge.label(prompt("What is granite?"), CUT, GOOD) == Label("b", 1, True, True)
    Judge.replies = [401]
    with pytest.raises(JudgeError, match="401"):
        judge.label(prompt("What is granite?"), CUT, GOOD)


def test_a_judge_on_this_machine_is_asked_whatever_proxy_is_set(judge, monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr(urllib.request, "_opener", None)  # the one that is kept from an earlier request knows no proxy
    Judge.replies = [verdict("B", 1), verdict("A", 1)]
    assert judge.label(prompt("What is granite?"), CUT, GOOD) == Label("b", 1, True, True)


def test_the_judges_key_is_told_nowhere(judge):
    assert "secret" not in repr(judge)
    Judge.replies = [b"your key secret is wrong"]
    with pytest.raises(JudgeError, match="your key CRIA_JUDGE_KEY is wrong"):
        judge.label(prompt("What is granite?"), CUT, GOOD)
    for url in ("http://me:secret@host/v1", "http://secret@host/v1", "https://host/v1?key=secret"):
        with pytest.raises(JudgeError, match="put its key into CRIA_JUDGE_KEY") as caught:
            JudgeAnnotator.from_environment("m", {"CRIA_JUDGE_URL": url})
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["A is better", '{"better": "A"}', verdict("C", 1), verdict("A", 7)])
def test_replies_out_of_form_are_refused(text):
    with pytest.raises(labels.UnjudgedError, match="agreed form"):
        parse_verdict(text)


def test_judge_needs_its_environment(monkeypatch):
    with pytest.raises(JudgeError, match="judge:m needs CRIA_JUDGE_URL"):
        JudgeAnnotator.from_environment("m", {})
    monkeypatch.setenv("CRIA_JUDGE_URL", "http://x/v1")
    assert annotator.create("judge:m").name == "judge:m"
    found = JudgeAnnotator.from_environment("m", {"CRIA_JUDGE_URL": "http://x/v1/"})
    assert (found.url, found.model, found.key) == ("http://x/v1", "m", None)
