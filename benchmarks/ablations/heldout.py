"""Loss and bits per byte of a trained model on held-out documents."""

from pathlib import Path

from modeling.evaluation import bits_per_byte


def figures(model, tokenizer, texts: list[str]) -> dict[str, float]:
    """Returns `bits_per_byte`, and `loss` in nats a token; ends of documents count, starts do not."""
    score = bits_per_byte.score_texts(model, tokenizer, texts)
    return {"bits_per_byte": score.bits_per_byte, "loss": score.nats / score.tokens}


def texts(mixture: Path, limit: int) -> list[str]:
    """Returns up to `limit` held-out documents of each source."""
    return [text for each in bits_per_byte.read_texts(mixture / "heldout", limit).values() for text in each]
