"""Amounts in human-readable form."""


def megabytes(size: float) -> str:
    """1.2 MB; kB below and GB above."""
    for unit, limit in (("GB", 1e9), ("MB", 1e6)):
        if size >= limit:
            return f"{size / limit:,.1f} {unit}"
    return f"{size / 1e3:,.1f} kB"


def duration(seconds: float) -> str:
    """2 h 05 min; 1 min 30 s and 12 s below."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def counted(documents: int) -> str:
    return "1 document" if documents == 1 else f"{documents:,} documents"
