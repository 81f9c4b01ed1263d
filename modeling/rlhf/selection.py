"""Model selection (paper 3.2.3): a fine-tuned policy that is worse than the one before stays out.

It follows each RLHF round and context distillation. Both policies answer the same validation prompts, which no stage of
RLHF trains on. The last two reward models score the answers by the paper's piecewise rule, and a rule counts refusals of
the prompts that are not adversarial. The new policy stays out if it is significantly worse in either: if the interval
(95 %) of its paired difference in reward lies below 0, or that of its difference in refusals above 0.
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from transformers import AutoTokenizer

from modeling.core import dialog, reporting, resumable_generation, runtime
from modeling.core.atomic_folders import filling, model_files
from modeling.core.hashing import unit_hash
from modeling.core.recipes import SamplingRecipe
from modeling.finetuning import sft
from modeling.rlhf import comparison, rejection_sampling, rewards, scoring
from modeling.rlhf.comparison import Difference
from modeling.rlhf.recipes import SelectedRecipe

CANDIDATE, BEFORE = "candidate", "before"


@dataclass(frozen=True)
class Selection:
    """Which policy goes on, and the paired differences (new policy − policy before)."""

    reward: Difference  # of piecewise reward, 0 to 1
    refusals: Difference  # of the share of ordinary prompts refused

    @property
    def selected(self) -> str:
        """CANDIDATE, or BEFORE if the new policy is significantly worse."""
        return BEFORE if self.reward.high < 0 or self.refusals.low > 0 else CANDIDATE

    def content(self) -> dict:
        """The content of selection.json."""
        return {"selected": self.selected, "reward": asdict(self.reward), "refusals": asdict(self.refusals)}


def compare(
    policies: dict[str, Path], inputs: dict[str, Path], sampling: SamplingRecipe, prompts: int, scratch: Path, log
) -> Selection:
    """Compare the policies CANDIDATE and BEFORE on at most `prompts` validation prompts, drawn by a hash of the id.

    Inputs: prompts and both reward models. Answers and scores in `scratch` are reused. Raises ValueError if no
    validation prompt fits in the context with an answer.
    """
    rows = resumable_generation.read_prompts(inputs["prompts"], "validation")
    rows = resumable_generation.fitting(policies[CANDIDATE], rows, sampling)
    rows = sorted(rows, key=lambda row: unit_hash("selection", row["id"]))[:prompts]
    if not rows:
        raise ValueError("no validation prompt fits in the context with an answer: lower max_new_tokens or add prompts")
    answered, refused = {}, {}
    for name, folder in policies.items():
        answers = resumable_generation.answer_all(
            folder, [row["messages"] for row in rows], sampling, 1, "selection", scratch / name, log
        )
        answered[name] = [
            rejection_sampling.candidate(row, answer) for row, (answer,) in zip(rows, answers, strict=True)
        ]
        refused[name] = comparison.refusals(rows, [answer.text for (answer,) in answers])
    everything = [row for answers in answered.values() for row in answers]
    dialogs = [dialog.with_answer(row["messages"], row["response"]) for row in everything]
    found = rewards.probabilities(inputs, lambda: dialogs, len(dialogs), scratch / "scores", log)
    rewards.add(everything, found, scoring.SAFETY_THRESHOLD)
    return Selection(
        reward=comparison.paired(*([row["reward"] for row in answered[name]] for name in (BEFORE, CANDIDATE))),
        refusals=comparison.paired(refused[BEFORE], refused[CANDIDATE]),
    )


def keep_the_better(
    config: SelectedRecipe, start: str, inputs: dict[str, Path], out: Path, held_out: Sequence[sft.Dialogue], log
) -> dict:
    """Compare the policy in `out` with the input `start`, and replace it by that one if it is significantly worse.

    Other inputs: prompts and both reward models. Writes selection.json and returns the figures of the comparison; {} if the
    recipe asks for none. The comparison is stored before weights are replaced, so a run that was killed between the
    two does not compare the policy before with itself.
    """
    if not config.selection_prompts or not runtime.main_process():  # only the main process measures and writes
        return {}
    before, scratch = inputs[start], out / "_scratch" / "selection"

    def compared() -> list[dict]:
        policies = {CANDIDATE: out, BEFORE: before}
        found = compare(policies, inputs, config.selection_sampling, config.selection_prompts, scratch, log)
        return [found.content()]

    (found,) = resumable_generation.kept(scratch / "selection.json", compared)
    if found["selected"] == BEFORE:
        log.info("the new policy is significantly worse than the one before, which goes on in its place")
        release(before, out)
        sft.show(out, AutoTokenizer.from_pretrained(out), held_out, config, log)
    reporting.write_json(out / "selection.json", found)
    return {"selected": found["selected"]} | {
        f"selection_{name}_{part}": round(found[name][part], 4)
        for name in ("reward", "refusals")
        for part in ("before", "after", "low", "high")
    }


def release(model_dir: Path, out: Path) -> None:
    """Write the model of `model_dir` over the one in `out`, file by file, each atomically."""
    with filling(out) as folder:
        for path in model_files(model_dir):
            shutil.copyfile(path, folder / path.name)
