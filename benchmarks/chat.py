"""The chat with many users at once, beside the usual way: gradio's handler around `generate` with a streamer.

    python benchmarks/chat.py                        # the release of scale laptop in the store
    python benchmarks/chat.py FOLDER --users 1 10    # a Hugging Face directory

All users ask at the same moment and read until their answers end. "One after another" is gradio's default, one event at
a time; "a thread each" lets all generate at once. OMP_NUM_THREADS holds for all of them, so with 1 only a thread each
uses more than one core. Every measurement has a process of its own. Last, answers of ten users at once are compared with
the answers that each of them gets alone.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from transformers import TextIteratorStreamer

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.generation import FORMS, SUBJECTS  # noqa: E402
from orchestration import store  # noqa: E402
from orchestration.launchers import ALLOCATOR  # noqa: E402
from release import chat  # noqa: E402
from release.loaded_models import Loaded, load  # noqa: E402

TEMPERATURE, TOP_P = 0.7, 0.9
PLAIN_LOCK = threading.Lock()
Answer = Iterator[tuple[str, int]]  # (text so far, tokens so far)


def together(loaded: Loaded, question: str, most: int, seed: int) -> Answer:
    """As the page and the API answer."""
    settings = chat.Settings(TEMPERATURE, TOP_P, most, seed)
    for answer in chat.stream(loaded, [{"role": "user", "content": question}], settings):
        yield answer.text, answer.tokens


def a_thread_each(loaded: Loaded, question: str, most: int, seed: int) -> Answer:
    """As in gradio's and transformers' guides: `generate` in a thread, a streamer that the handler reads."""
    messages = [{"role": "user", "content": question}]
    given = loaded.tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    streamer = TextIteratorStreamer(loaded.tokenizer, skip_prompt=True, skip_special_tokens=True)
    made: list[int] = []

    def generate() -> None:
        ids_1T = loaded.model.generate(
            **given,
            streamer=streamer,
            max_new_tokens=most,
            do_sample=True,
            temperature=TEMPERATURE,
            top_p=TOP_P,
            top_k=0,
        )
        made.append(ids_1T.shape[1] - given["input_ids"].shape[1])

    thread = threading.Thread(target=generate)
    thread.start()
    text = ""
    for piece in streamer:
        text += piece
        yield text, 0
    thread.join()
    yield text, made[0]


def one_after_another(loaded: Loaded, question: str, most: int, seed: int) -> Answer:
    """The same under gradio's default limit of one event at a time."""
    with PLAIN_LOCK:
        yield from a_thread_each(loaded, question, most, seed)


WAYS: dict[str, Callable[..., Answer]] = {
    "Cria": together,
    "generate, one after another": one_after_another,
    "generate, a thread each": a_thread_each,
}


def questions(count: int) -> list[str]:
    texts = [form.format(subject) for subject in SUBJECTS for form in FORMS]
    return (texts * (count // len(texts) + 1))[:count]


def measure(way: str, folder: Path, users: int, most: int) -> dict:
    """Seconds to the first text of each user, and tokens a second of all users."""
    answer, loaded = WAYS[way], load(folder)
    for _ in answer(loaded, "Hello", 4, 0):  # the first call plans kernels
        pass
    first, tokens, barrier = [0.0] * users, [0] * users, threading.Barrier(users + 1)

    def ask(user: int, question: str) -> None:
        barrier.wait()
        for text, made in answer(loaded, question, most, user):
            if text and not first[user]:
                first[user] = time.monotonic() - begun
            tokens[user] = made
        first[user] = first[user] or time.monotonic() - begun  # an empty answer

    threads = [threading.Thread(target=ask, args=pair) for pair in enumerate(questions(users))]
    for thread in threads:
        thread.start()
    begun, cpu_begun = time.monotonic(), time.process_time()
    barrier.wait()
    for thread in threads:
        thread.join()
    seconds, cpu_s = time.monotonic() - begun, time.process_time() - cpu_begun
    return {
        "way": way,
        "users": users,
        "first_s": round(statistics.median(first), 2),
        "last_first_s": round(max(first), 2),
        "tokens": sum(tokens),
        "seconds": round(seconds, 1),
        "tokens_per_s": round(sum(tokens) / seconds, 1),
        "tokens_per_cpu_s": round(sum(tokens) / cpu_s, 1),
    }


def equality(folder: Path, users: int, most: int) -> dict:
    """Share of answers of users at once that are those of each user alone, in the dtype of the chat and in float32."""
    shares = {}
    for name in ("served", "float32"):
        loaded = load(folder)
        if name == "float32":
            loaded.model.float()
        found: dict[int, str] = {}

        def ask(user: int, question: str, loaded: Loaded = loaded, found: dict[int, str] = found) -> None:
            *_, (found[user], _) = together(loaded, question, most, user)

        pairs = list(enumerate(questions(users)))
        for pair in pairs:
            ask(*pair)
        alone = dict(found)
        threads = [threading.Thread(target=ask, args=pair) for pair in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        shares[f"same_{name}"] = round(sum(found[user] == alone[user] for user in alone) / users, 2)
        shares[f"dtype_{name}"] = str(loaded.model.dtype).removeprefix("torch.")
    return shares


def table(rows: list[dict]) -> str:
    """The rows as Markdown; the last column is how many times faster Cria is with as many users."""
    ours = {row["users"]: row["tokens_per_s"] for row in rows if row["way"] == "Cria"}
    lines = ["| users | way | first text, median | first text, last user | tokens/s | tokens/CPU s | Cria is faster by |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for row in sorted(rows, key=lambda row: row["users"]):
        ratio = "" if row["way"] == "Cria" else f"{ours[row['users']] / row['tokens_per_s']:.1f}×"
        lines.append(f"| {row['users']} | {row['way']} | {row['first_s']:.2f} s | {row['last_first_s']:.2f} s | "
                     f"{row['tokens_per_s']:.1f} | {row['tokens_per_cpu_s']:.1f} | {ratio} |")  # fmt: skip
    return "\n".join(lines)


def in_process(way: str, users: int) -> dict:
    command = [sys.executable, __file__, *sys.argv[1:], "--row", way, str(users)]
    environment = {**os.environ, **ALLOCATOR}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", help="Hugging Face directory (default: laptop's release)")
    parser.add_argument("--users", type=int, nargs="+", default=[1, 10, 50])
    parser.add_argument("--tokens", type=int, default=48, help="longest answer (default: 48)")
    parser.add_argument("--row", nargs=2, metavar=("WAY", "USERS"), help=argparse.SUPPRESS)  # in a process of its own
    given = parser.parse_args()
    folder = given.model or store.artifact("bundle", "laptop")
    if given.row:
        print(json.dumps(measure(given.row[0], folder, int(given.row[1]), given.tokens)))
        return
    print(json.dumps({"cores": os.cpu_count(), "threads": torch.get_num_threads(), "model": str(folder)}), flush=True)
    rows = []
    for users in given.users:
        for way in WAYS:
            if users > 1 or WAYS[way] is not a_thread_each:  # alone, it is the same as one after another
                rows.append(in_process(way, users))
                print(json.dumps(rows[-1]), flush=True)
    print(json.dumps(equality(folder, min(10, max(given.users)), given.tokens)), flush=True)
    print(f"\n{table(rows)}")


if __name__ == "__main__":
    main()
