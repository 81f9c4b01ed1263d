"""Paths from environment variables."""

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


def path_from(variable: str, default: Path) -> Path:
    """Returns the absolute path that `variable` states, or `default` if it is unset or empty.

    Expands `~` and `$NAME`, because no shell expands variables from an env file, systemd or a container.
    Raises ValueError if a name in it is not set or a home folder is unknown.
    """
    stated = os.environ.get(variable, "")
    if not stated:
        return default
    expanded = os.path.expandvars(stated)
    if "$" in expanded:
        raise ValueError(f"{variable}={stated} names a variable that is not set: set it, or write the path out")
    path = Path(os.path.expanduser(expanded))
    if path.parts[0].startswith("~"):
        raise ValueError(f"{variable}={stated} names a user without a home folder: write the path out")
    return path.absolute()


def store() -> Path:
    """Returns the artifact store: CRIA_STORE, or `store` in the checkout. Raises ValueError if CRIA_STORE cannot be expanded."""
    return path_from("CRIA_STORE", CHECKOUT / "store")
