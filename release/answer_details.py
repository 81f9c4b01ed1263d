"""What the page tells about the last answer when a person asks: its speed, what the reward models say of it, its lineage.

The reward models are those of the last round in the store that both are made of. A release alone brings none. They are
loaded one at a time, for this question alone, and only one person's answer is scored at a time.
"""

import html
import threading
from collections.abc import Sequence

import gradio as gr
from safetensors import SafetensorError

from data_cleaning import paths
from modeling.core import sampling
from modeling.rlhf import scoring
from modeling.rlhf.pairs import KINDS
from release import page_scripts, theme
from release.gallery import Gallery
from release.reward_models import RewardModels, last_reward_models

NONE = "No reward model is at hand: a release holds none, and the store of this chat has no finished round."
FAILED = "The reward models of round {} gave no score ({}): try again."
NO_SCORE = (ValueError, RuntimeError, OSError, SafetensorError)  # a run may replace the reward models at any time
ONE_AT_A_TIME = {"concurrency_limit": 1, "concurrency_id": "details"}  # settings of the events that load them
NOTE = "They are what RLHF was trained for, no person's judgement; they read the dialogue without its system prompt."


class Scorer:
    """Scores answers with the reward models of a store. Holds none of them in memory between two questions."""

    def __init__(self, gallery: Gallery) -> None:
        self.gallery = gallery
        self._lock = threading.Lock()

    def line(self, messages: Sequence[dict]) -> str:
        """Returns a sentence on the answer that ends a dialogue: the scores as probabilities, or why there are none."""
        found = last_reward_models(self.gallery.folder)
        if found is None:
            return NONE
        try:
            scores = self._scores(found, messages)
        except NO_SCORE as error:
            return FAILED.format(found.round, type(error).__name__)
        said = " · ".join(f"{kind} {score:.2f}" for kind, score in zip(KINDS, scores, strict=True))
        return f"Reward models of round {found.round}, from 0 to 1: {said}. {NOTE}"

    def _scores(self, found: RewardModels, messages: Sequence[dict]) -> list[float]:
        scores = []
        with self._lock:
            for folder in found.folders:
                model, tokenizer = scoring.load(folder)
                scores.append(float(scoring.sigmoid(scoring.score(model, tokenizer, [messages]))[0]))
                del model
                sampling.free_memory()
        return scores


def describe(scorer: Scorer, turns: Sequence[dict]) -> str:
    """Returns the details of the last answer of a dialogue as HTML."""
    if not turns:
        return theme.state_line("There is no answer yet.", "warn")
    answer = turns[-1]
    lines = [f"Answer {len(turns) // 2} of this dialogue, by {answer['by']}: {speed(answer)}."]
    if "guard" in answer:
        lines.append(f"{answer['guard'].capitalize()}.")
    lines.append(scorer.line([{name: turn[name] for name in ("role", "content")} for turn in turns]))
    return f'<div class="about">{"<br>".join(map(html.escape, lines))}<br>{origin(scorer.gallery, answer)}</div>'


def speed(answer: dict) -> str:
    if "seconds" not in answer:  # a copy from a browser that was saved before these figures were kept
        return "its speed was not kept"
    tokens, seconds = answer["tokens"], answer["seconds"]
    return f"{tokens} tokens in {seconds:.2f} s, {tokens / max(seconds, 0.001):.0f} tokens/s"


def origin(gallery: Gallery, answer: dict) -> str:
    """Returns the artifact that answered and the command for its lineage, as HTML."""
    content = answer["version_content"]
    version = next((one for one in gallery.now().versions if one.content == content), None)
    if version is None:
        return f"Made by an artifact that is not in the menu now: content <code>{html.escape(content[:12])}</code>."
    store = paths.store()
    shown = store.relative_to(paths.CHECKOUT) if store.is_relative_to(paths.CHECKOUT) else "$CRIA_STORE"
    artifact = html.escape(version.artifact)
    return (
        f'Made by <code class="artifact">{artifact}</code>, content <code>{html.escape(content[:12])}</code>. '
        f"How it was made: <code>make lineage FILE={html.escape(str(shown))}/{artifact}</code>"
    )


def buttons() -> tuple[gr.Button, gr.Button]:
    """Adds to the page the button that asks, and the one that opens the lineage, which is there with the details."""
    return (
        gr.Button("About this answer", size="sm", min_width=120, elem_id="about-answer"),
        gr.Button("Its lineage", size="sm", min_width=90, visible=False, elem_id="to-lineage"),
    )


def connect(
    placed: tuple[gr.Button, gr.Button], details: gr.HTML, gallery: Gallery, turns: gr.State, changes: Sequence
) -> None:
    """`details`: their place; `changes`: the events of the page after which they are no longer of the last answer."""
    ask, lineage = placed
    scorer = Scorer(gallery)

    def told(turns):
        return describe(scorer, turns), gr.Button(visible=bool(turns))

    ask.click(
        told, turns, [details, lineage], api_name="details", trigger_mode="once", show_progress="hidden",
        **ONE_AT_A_TIME,
    )  # fmt: skip
    gr.on(
        list(changes), lambda: ("", gr.Button(visible=False)), None, [details, lineage], queue=False,
        show_progress="hidden", api_visibility="private",
    )  # fmt: skip
    lineage.click(None, js=page_scripts.OPEN_LINEAGE)
