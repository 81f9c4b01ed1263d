"""The encoder of the independent judge: modeling/core/embedding.py, which the split of adversarial prompts shares."""

from modeling.core.embedding import BATCH_TOKENS, MAX_TOKENS, WORDING_LAYER, Embedded, Encoder, embed, load

__all__ = ["BATCH_TOKENS", "MAX_TOKENS", "WORDING_LAYER", "Embedded", "Encoder", "embed", "load"]
