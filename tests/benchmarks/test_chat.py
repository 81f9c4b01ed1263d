"""All ways of the chat's benchmark answer all users, and its table compares them."""

import pytest

from benchmarks import chat
from tests.modeling import toy_chat

pytestmark = pytest.mark.trains


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return toy_chat.save_base(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("way", chat.WAYS)
def test_each_way_answers_every_user(folder, way):
    row = chat.measure(way, folder, users=3, most=5)
    assert 3 <= row["tokens"] <= 15 and 0 < row["first_s"] <= row["last_first_s"] <= row["seconds"] + 0.1


def test_answers_at_once_are_those_alone(folder):
    assert chat.equality(folder, users=3, most=6)["same_float32"] == 1


def test_the_table_says_how_many_times_faster():
    row = {"users": 2, "first_s": 0.5, "last_first_s": 1.0, "tokens": 10, "seconds": 1.0, "tokens_per_cpu_s": 3}
    rows = [row | {"way": "generate, a thread each", "tokens_per_s": 5.0}, row | {"way": "Cria", "tokens_per_s": 21.0}]
    lines = chat.table(rows).splitlines()
    assert len(lines) == 4 and lines[2].endswith("| 5.0 | 3.0 | 4.2× |") and lines[3].endswith("| 21.0 | 3.0 |  |")
