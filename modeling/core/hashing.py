"""Choices by hash: what is drawn, split or ordered this way depends on its own text alone, and stays so for ever.

More data move nothing that was decided before, and stages that never see each other decide alike.
"""

import hashlib


def digest(text: str) -> bytes:
    """Eight bytes that belong to this text."""
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def number(text: str) -> int:
    """Its digest as a number of 64 bits."""
    return int.from_bytes(digest(text), "big")


def unit(text: str) -> float:
    """Its digest as a figure in [0, 1)."""
    return number(text) / 2**64


def mix(*parts: object) -> int:
    """A 63-bit seed out of several parts, so that no two uses of randomness share one."""
    return number(repr(parts)) >> 1


def unit_hash(*parts: object) -> float:
    """A figure in [0, 1) that belongs to these parts for ever."""
    return mix(*parts) / 2**63
