"""Choices by hash: draws, splits and orders that depend only on an item's own text.

New data changes no earlier choice, and independent stages make the same choices.
"""

import hashlib


def digest(text: str) -> bytes:
    """The 8-byte BLAKE2b digest of the text."""
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def number(text: str) -> int:
    """The text's digest as an unsigned 64-bit integer."""
    return int.from_bytes(digest(text), "big")


def unit(text: str) -> float:
    """The text's digest as a number in [0, 1)."""
    return number(text) / 2**64


def mix(*parts: object) -> int:
    """A 63-bit seed derived from all parts, so that no two uses of randomness share a seed."""
    return number(repr(parts)) >> 1


def unit_hash(*parts: object) -> float:
    """A number in [0, 1) that depends only on the parts."""
    return mix(*parts) / 2**63
