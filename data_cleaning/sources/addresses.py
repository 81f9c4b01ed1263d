"""Addresses of sources without secrets, as users see them.

An address in the table of sources holds no secret. It names an environment variable instead, ${NAME}, which recipes,
records, logs and errors keep unexpanded (see data_cleaning/sources/variables.py).
"""

import re

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
USER = re.compile(r"(?<=://)[^/?#]*@")
# Query parameters that select the content. Any other parameter may be a signature or a token.
PUBLIC = {"alt", "dl", "download", "format", "lang", "raw", "ref", "revision", "version", "versionid"}
REGISTRIES = ("pip://", "hf://")  # their clients have their own settings for credentials, and ? is a wildcard here


def shown(uri: str) -> str:
    """Returns an address without user, password and parameters that are not PUBLIC, as these may be secret."""
    if "://" not in uri or uri.startswith(REGISTRIES):
        return USER.sub("", uri) if "://" in uri else uri
    address, mark, member = uri.partition("#")
    address, _, query = USER.sub(_variables_only, address).partition("?")
    kept = [part for part in query.split("&") if part and _is_public(part)]
    return address + ("?" + "&".join(kept) if kept else "") + mark + member


def refusal(uri: str) -> str | None:
    """Returns why the table may not contain an address, or None. The text repeats no secret."""
    if "://" not in uri or uri.startswith(REGISTRIES):
        return "only addresses of web servers and object stores may name variables" if VARIABLE.search(uri) else None
    address, _, query = uri.partition("#")[0].partition("?")
    if USER.sub(_variables_only, address) != address:
        return "its address holds a user or password: write ${NAME} in its place, and set that variable where this runs"
    for part in query.split("&"):
        if part and not _is_public(part):
            name, mark, _ = part.partition("=")
            what = f"a value of {name!r}" if mark else "a query"
            return (
                f"its address holds {what}, which may be a token or signature: write ${{NAME}} in its place, and set that "
                f"variable where this runs (as they are: {', '.join(sorted(PUBLIC))})"
            )
    return None


def _variables_only(user: re.Match) -> str:
    return user[0] if not VARIABLE.sub("", user[0]).strip(":@") else ""


def _is_public(part: str) -> bool:
    name, mark, value = part.partition("=")
    return name.lower() in PUBLIC or not VARIABLE.sub("", value if mark else name)
