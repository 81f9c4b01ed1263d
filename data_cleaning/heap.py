"""Gives freed memory back to the system.

The launchers tell glibc to keep freed memory, which makes tensors of changing sizes faster. Between two pieces of work
it is then held for nothing, and fragments add up over the stages of one process.
"""

import ctypes
import gc


def trim() -> None:
    """Frees what has no references and returns free pages to the system. The latter needs glibc, else nothing happens."""
    gc.collect()  # a trainer refers to itself and stays until then
    release = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if release is not None:
        release(0)
