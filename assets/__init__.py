"""The paper's figure, top to bottom: corpus → pretraining → finetuning → rlhf_v1…v5 → safety → evaluation → release."""

from assets import corpus, evaluation, finetuning, pretraining, release, rlhf, safety

GROUPS = (corpus, pretraining, finetuning, rlhf, safety, evaluation, release)
STAGES = {stage.key: stage for group in GROUPS for stage in group.STAGES}
