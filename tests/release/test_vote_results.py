"""The results of votes: values worked out by hand, votes that leave something undefined, and text of strangers."""

import re
import time

import numpy as np
import pytest
from hypothesis import given
from markdown_it import MarkdownIt

from release import vote_statistics
from release.vote_results import GRADES, agreement, labels, last_words, standings
from release.vote_statistics import ac2, ordinal_weights, prior, resamples, strengths, wins_of
from tests.data_cleaning.test_markdown import TEXTS
from tests.shown import Shown


def vote(best="Chat", other="Base", prompt="What is a cria?", rater="r1", degree=1, answers=None, swap=False, **more):
    """A vote for `best`; the contents are the names in lower case. `answers`: of best and other."""
    shown = list(zip((best, other), answers or (f"{best} says", f"{other} says"), strict=True))
    (a, answer_a), (b, answer_b) = reversed(shown) if swap else shown
    return {
        "rater": rater, "time": "2026-05-01T10:00:00.000+00:00", "messages": [{"role": "user", "content": prompt}],
        "version_a": a, "version_b": b, "content_a": a.lower(), "content_b": b.lower(), "answer_a": answer_a,
        "answer_b": answer_b, "preferred": "b" if swap else "a", "degree": degree, "safe_a": True, "safe_b": True,
        "reason": "", **more,
    }  # fmt: skip


def many(best, other, number, first=0):
    """One vote on each of several prompts."""
    return [vote(best, other, prompt=f"Question {first + place}") for place in range(number)]


def rows(markdown: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in markdown.splitlines() if line.startswith("| ")]


def row(markdown: str, *beginning: str) -> list[str]:
    return next(found for found in rows(markdown) if found[: len(beginning)] == list(beginning))


def limits(cell: str) -> list[int]:
    return [int(number) for number in re.findall(r"(\d+)%", cell)]


def test_strengths_are_the_ratios_of_the_wins():
    # Strengths 4 : 2 : 1 expect 2 wins of 3, 4 of 5 and 2 of 3: these wins are exactly as expected.
    found = strengths(np.array([[0, 2, 4], [1, 0, 2], [1, 1, 0]]))
    assert np.exp(found - found[2]) == pytest.approx([4, 2, 1]) and found.sum() == pytest.approx(0)
    cycle = strengths(np.array([[0, 5, 0], [0, 0, 5], [5, 0, 0]]))
    assert cycle == pytest.approx([0, 0, 0])


def test_a_chain_with_one_weak_link_reaches_the_maximum():
    wins = np.zeros((4, 4))
    wins[0, 1], wins[1, 0], wins[2, 3], wins[3, 2] = 9000, 1000, 1000, 9000
    wins[1, 2], wins[2, 1] = 3, 1
    found = np.exp(strengths(wins))
    assert [found[0] / found[1], found[1] / found[2], found[3] / found[2]] == pytest.approx([9, 3, 9], rel=1e-5)
    far = strengths(np.array([[0, 10_000, 0], [1e-3, 0, 10_000], [0, 1e-3, 0]]))
    assert far - far[1] == pytest.approx([np.log(1e7), 0, -np.log(1e7)], rel=1e-5)


def test_the_prior_is_one_vote_of_each_version():
    assert prior(2).tolist() == [[0, 0.5], [0.5, 0]] and prior(1).tolist() == [[0]]
    assert (prior(5) + prior(5).T).sum(1) == pytest.approx(np.ones(5))


def test_wins_are_counted_with_their_weights():
    won = np.array([[0, 1], [1, 0], [0, 1]])
    assert wins_of(won, 2).tolist() == [[0, 2], [1, 0]]
    assert wins_of(won, 2, np.array([3, 0, 1])).tolist() == [[0, 4], [0, 0]]


def test_resamples_keep_the_votes_on_one_prompt_together_and_are_fixed():
    drawn = np.array(list(resamples(["x", "y", "x"])))
    assert (drawn[:, 0] == drawn[:, 2]).all() and (drawn[:, 0] + drawn[:, 1] == 2).all()
    assert len(np.unique(drawn[:, 0])) == 3 and (drawn == np.array(list(resamples(["x", "y", "x"])))).all()


def test_ordinal_weights_by_hand():
    assert ordinal_weights(3) == pytest.approx(np.array([[1, 2 / 3, 0], [2 / 3, 1, 2 / 3], [0, 2 / 3, 1]]))
    weights = ordinal_weights(GRADES)
    assert weights[0] == pytest.approx(1 - np.array([0, 1, 3, 6, 10, 15, 21, 28]) / 28)
    assert weights.sum() == pytest.approx(49)


def test_ac2_by_hand():
    # Two raters say 1-1, 1-2 and 3-3, one rater says 2. Observed: (1 + 2/3 + 1) / 3 = 8/9. Shares of the grades: 3/8, 3/8,
    # 1/4, so chance is (17/3) / 6 x (15/64 + 15/64 + 12/64) = 119/192. (8/9 - 119/192) / (1 - 119/192) = 155/219.
    counts = np.array([[2, 0, 0], [1, 1, 0], [0, 0, 2], [0, 1, 0]])
    assert ac2(counts, ordinal_weights(3)) == pytest.approx(155 / 219)
    doubled = ac2(counts, ordinal_weights(3), np.array([2, 1, 0, 1]))
    assert doubled == pytest.approx(ac2(counts[[0, 0, 1, 3]], ordinal_weights(3)))
    assert ac2(counts[3:], ordinal_weights(3)) is None
    assert ac2(counts, ordinal_weights(3), np.array([0, 0, 0, 1])) is None


def test_ac1_of_gwets_example():
    # 12 units and 4 raters with gaps (Gwet 2014; data set cac.raw4raters of irrCAC): published AC1 0.77544.
    units = [
        "1 1 1",
        "2 2 3 2",
        "3 3 3 3",
        "3 3 3 3",
        "2 2 2 2",
        "1 2 3 4",
        "4 4 4 4",
        "1 1 2 1",
        "2 2 2 2",
        "5 5 5",
        "1 1",
        "3",
    ]
    counts = np.array([[unit.count(grade) for grade in "12345"] for unit in units])
    assert ac2(counts, np.eye(5)) == pytest.approx(0.77544, abs=5e-6)


def test_without_votes_and_with_one():
    assert standings([]) == "Nobody has voted yet."
    shown = standings([vote()])
    assert "1 vote of 1 rater on 1 prompt." in shown and "Left out" not in shown
    assert row(shown, "Chat", "1")[2] == "75% (no interval)"  # (1 + ½) of 2
    assert row(shown, "Base", "1")[2] == "50%, by definition" and "against Base |" in shown
    assert row(shown, "Base against Chat") == ["Base against Chat", "1", "0% (0% to 79%)"]
    assert "Undefined: no pair of answers was judged by two raters" in shown
    assert "<details>" not in shown


def test_win_rates_of_two_versions_with_the_prior():
    shown = standings(many("Chat", "Base", 30) + many("Base", "Chat", 10, 30))
    cell = row(shown, "Chat", "40")[2]
    assert cell.startswith("74% (") and "too narrow" not in shown  # 30.5 / 41
    low, high = limits(cell)[1:]
    assert 59 <= low <= 63 and 84 <= high <= 88  # ± 1.96 √(¾ ¼ / 40) = 13 points
    assert row(shown, "Base against Chat", "40")[2].startswith("25% (14% to 40%)")


def test_a_version_that_never_lost_is_finite_and_has_no_interval():
    shown = standings(many("PPO", "Chat", 3) + many("Chat", "Base", 2, 3) + many("Base", "Chat", 2, 5))
    assert row(shown, "PPO", "3")[2].endswith("% (no interval)") and 50 < limits(row(shown, "PPO", "3")[2])[0] < 100
    assert "to" in row(shown, "Chat", "7")[2] and "too narrow" in shown


def test_intervals_resample_prompts_and_not_votes():
    # 4 prompts with 10 raters each who agree: the interval is that of 4 coins, not of 40.
    def votes(best, other, prompt):
        return [vote(best, other, prompt=prompt, rater=str(number)) for number in range(10)]

    few = (
        votes("Chat", "Base", "1")
        + votes("Chat", "Base", "2")
        + votes("Base", "Chat", "3")
        + votes("Base", "Chat", "4")
    )
    low, high = limits(row(standings(few), "Chat", "40")[2])[1:]
    assert low < 10 and high > 90


def test_groups_that_no_votes_connect_are_not_compared():
    shown = standings(many("Chat", "Base", 3) + many("V2", "V1", 2, 3), {"v1": "RLHF-v1", "v2": "RLHF-v2"})
    assert "cannot be compared" in shown and "win against Base" in shown and "win against RLHF-v1" in shown
    assert row(shown, "RLHF-v2", "2")[2] == "83% (no interval)"  # 2.5 / 3, as if there were no other versions
    assert shown.index("against Base |") < shown.index("against RLHF-v1 |")


def test_without_base_the_oldest_known_version_is_the_measure():
    assert "win against SFT" in standings([vote("Chat", "SFT")], {"base": "Base", "sft": "SFT", "chat": "Chat"})
    assert "win against Base" in standings([vote("SFT", "Base")], {"sft": "SFT", "base": "Base"})


def test_one_name_of_two_contents_is_two_versions():
    anew = vote("Chat", "Base") | {"content_a": "0123456789"}
    assert labels([vote(), anew], {}) == {"chat": "Chat (chat)", "base": "Base", "0123456789": "Chat (01234567)"}
    assert "Chat (01234567) | 1 | 83%" in standings([vote(), anew])  # (1 + ¼) / (1 + ½)


def test_the_last_word_counts_and_equal_answers_do_not():
    first, changed = vote(), vote("Base", "Chat", swap=True)
    assert last_words([first, vote(rater="r2"), changed]) == [vote(rater="r2"), changed]
    assert last_words([first, vote(prompt="Another")]) == [first, vote(prompt="Another")]
    equal = vote(answers=("same", " same"))
    shown = standings([first, changed, equal])
    assert "Left out of strength, pairs and agreement: 2 votes" in shown and row(shown, "Base against Chat", "1")
    assert row(shown, "Chat", "3", "0")  # marks of every vote are counted
    alone = standings([equal])
    assert "Undefined" in alone and "Strength" not in alone and "Pair by pair" not in alone


def test_raters_agree_whichever_side_the_answers_stood_on():
    same = [vote(degree=3, rater="r1"), vote(degree=3, rater="r2", swap=True)]
    assert "1.00 (no interval), from 1 pair of answers" in agreement(same)
    # Opposite ends: observed 0; shares ½ and ½, so chance is 49/56 x ½ = 7/16, and (0 - 7/16) / (9/16) = -7/9.
    against = [vote(degree=3, rater="r1"), vote("Base", "Chat", degree=3, rater="r2")]
    assert "-0.78 (no interval)" in agreement(against)
    both = same + [one | {"messages": [{"role": "user", "content": "x"}]} for one in against]
    assert re.search(r": 0\.\d\d \(-0\.78 to 1\.00\), from 2 pairs", agreement(both))
    assert "Undefined" in agreement([vote(), vote(prompt="x", rater="r2")])


def test_raters_whose_votes_training_leaves_out_are_counted():
    def said(number, rater, right):
        best, other = ("Chat", "Base") if right else ("Base", "Chat")
        return vote(best, other, prompt=str(number), rater=rater)

    careful = [said(number, rater, True) for number in range(60) for rater in ("r1", "r2")]
    assert "leaves out" not in agreement(careful)
    careless = [said(number, "r3", number % 2) for number in range(60)]
    assert "leaves out the votes of 1 rater," in agreement([*careful, *careless])


def test_activity_and_unsafe_marks():
    votes = [vote(rater="a" * 32), vote(rater="a" * 32, prompt="x", time="2026-05-02T00:00:00"), vote(rater="b" * 32)]
    shown = standings([*votes, vote(rater="c", prompt="y", safe_b=False)])
    assert row(shown, "aaaaaaaa") == ["aaaaaaaa", "2", "50%"] and "a" * 9 not in shown
    assert row(shown, "2026-05-02") == ["2026-05-02", "1", "25%"] and row(shown, "2026-05-01")[1] == "3"
    assert row(shown, "Base", "4", "1") and row(shown, "Chat", "4", "0")
    crowd = standings([vote(rater=f"{number:032x}") for number in range(25)])
    assert row(crowd, "5 more") == ["5 more", "5", "20%"]


def test_the_last_reasons_are_shortened_and_collapsed():
    shown = standings([vote(prompt=str(number), reason=f"reason {number} " + "x" * 300) for number in range(30)])
    page = Shown(shown[shown.index("<details>") :])
    assert [tag for tag, _ in page.tags][:2] == ["details", "summary"] and "The last 20 reasons" in page.text
    assert page.text.index("reason 29 x") < page.text.index("reason 10 x") and "reason 9 x" not in page.text
    assert "x…" in page.text and "x" * 200 not in page.text and "Chat over Base, slightly better" in page.text


@given(text=TEXTS.filter(str.strip))
def test_text_of_strangers_and_artifacts_is_text(text):
    renderer = MarkdownIt("commonmark", {"html": True, "breaks": True}).enable(["table", "strikethrough"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vote_statistics, "RESAMPLES", 2)
        plain, wild = (
            Shown(renderer.render(standings([vote(one, "Base", rater=one, reason=one, time=one)])))
            for one in ("word", text)
        )
    assert wild.tags == plain.tags


def test_a_thousand_votes_take_little_time():
    draw = np.random.default_rng(3)
    names = ["Base", "SFT", *(f"RLHF-v{number}" for number in range(1, 6)), "Chat"]
    votes = []
    for number in range(1000):
        one, other = draw.choice(8, 2, replace=False)
        if draw.random() > 1 / (1 + np.exp((other - one) / 4)):
            one, other = other, one
        votes.append(vote(names[one], names[other], prompt=f"Question {number % 300}", rater=f"r{number % 7}"))
    begun = time.process_time()
    shown = standings(votes)
    assert time.process_time() - begun < 5
    best, worst = row(shown, "Chat"), row(shown, "Base")
    assert worst[2] == "50%, by definition"
    assert limits(best[2])[1] < 100 / (1 + np.exp(-7 / 4)) < limits(best[2])[2]
