"""Where a variable of the environment says that something lies."""

import os
from pathlib import Path


def path_from(variable: str, default: Path) -> Path:
    """The path that `variable` names, absolute, or `default` where it is unset or empty.

    `~` and `$NAME` are expanded here: a variable from an env file, systemd or a container has been through no shell.
    Raises ValueError where a name in it is not set or a home is not known.
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
