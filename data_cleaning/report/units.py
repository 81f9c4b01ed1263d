"""Amounts as people read them."""


def megabytes(size: float) -> str:
    """1.2 MB; kB below and GB above."""
    for unit, limit in (("GB", 1e9), ("MB", 1e6)):
        if size >= limit:
            return f"{size / limit:,.1f} {unit}"
    return f"{size / 1e3:,.1f} kB"


def counted(documents: int) -> str:
    return "1 document" if documents == 1 else f"{documents:,} documents"
