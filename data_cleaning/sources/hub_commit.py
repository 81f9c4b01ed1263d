"""Prints the present commit of a branch of a repository on the Hugging Face hub.

Usage: python -m data_cleaning.sources.hub_commit datasets|models ORG/NAME BRANCH

This runs in a process of its own, for the reason that data_cleaning/sources/hub.py states; exit codes are that one's.
"""

import sys

from data_cleaning.sources.faults import BUSY
from data_cleaning.sources.hub import REFUSED, UNREACHABLE


def commit(kind: str, repository: str, branch: str) -> int:
    """Prints the commit, or on failure the hub's message to stderr. Returns an exit code."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

    try:
        hub = huggingface_hub.HfApi()
        print(hub.repo_info(repo_id=repository, repo_type=kind.removesuffix("s"), revision=branch).sha)
    except HfHubHTTPError as error:
        busy = error.response is not None and error.response.status_code in BUSY
        print(str(error).splitlines()[0], file=sys.stderr)
        return UNREACHABLE if busy else REFUSED
    except (OfflineModeIsEnabled, ConnectionError, HTTPError) as error:
        print(type(error).__name__, file=sys.stderr)
        return UNREACHABLE
    return 0


if __name__ == "__main__":
    sys.exit(commit(*sys.argv[1:]))
