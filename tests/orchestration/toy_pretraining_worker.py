"""The worker, with the toy pretraining among its stages, which writes a checkpoint every eight steps.

While the store has a file `hold`, the last process stops for ever after the first checkpoint, and says there who it is:
python -m tests.orchestration.toy_pretraining_worker KEY PARTITION
"""

import functools
import os
import time

import assets
from modeling.core import runtime, training
from modeling.pretraining import pretrain
from orchestration import worker
from orchestration.store import store
from tests.orchestration.toy_pretraining import STAGE

HELD_STEP = 8
HOLD, HELD = "hold", "held"


class HoldingCheckpoints(training.Checkpoints):
    def on_save(self, args, state, control, **kwargs) -> None:
        super().on_save(args, state, control, **kwargs)
        if state.global_step == HELD_STEP and runtime.rank() == runtime.processes() - 1 and (store() / HOLD).exists():
            (store() / f"{HELD}.part").write_text(str(os.getpid()))
            os.rename(store() / f"{HELD}.part", store() / HELD)
            time.sleep(600)


def main() -> None:
    training.Checkpoints = HoldingCheckpoints
    pretrain.fit = functools.partial(training.fit, checkpoint_steps=HELD_STEP)
    assets.EVERY[STAGE.key] = STAGE
    worker.main()


if __name__ == "__main__":
    main()
