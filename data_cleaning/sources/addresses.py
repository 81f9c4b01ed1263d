"""Addresses of sources as people may see them."""

import re


def shown(uri: str) -> str:
    """An address without what may be secret: user and password, and the query, where stores take signatures and tokens.

    Local paths stay as they are; so do the ? of pip:// and hf://, which are wildcards there.
    """
    if "://" not in uri:
        return uri
    address, mark, member = uri.partition("#")
    if not address.startswith(("pip://", "hf://")):
        address = address.partition("?")[0]
    return re.sub(r"(?<=://)[^/?#]*@", "", address) + mark + member
