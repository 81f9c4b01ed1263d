"""Gives freed memory back to the system.

The launchers tell glibc to keep freed memory, which makes tensors of changing sizes faster. Between two pieces of work
it is then held for nothing, and fragments add up over the stages of one process.
"""

import ctypes


def trim() -> None:
    """Returns free pages of the C heap to the system. Does nothing where the C library is not glibc."""
    release = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if release is not None:
        release(0)
