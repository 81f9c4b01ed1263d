"""The paper's figure, top to bottom: corpus → pretraining → finetuning → rlhf_v1…v5 → safety → evaluation → release.

`PLANS` stand beside it: no run of the graph makes them, and they read nothing of it.
"""

from assets import corpus, evaluation, finetuning, plan, pretraining, release, rlhf, safety

GROUPS = (corpus, pretraining, finetuning, rlhf, safety, evaluation, release)
STAGES = {stage.key: stage for group in GROUPS for stage in group.STAGES}
PLANS = {stage.key: stage for stage in plan.STAGES}
EVERY = STAGES | PLANS
