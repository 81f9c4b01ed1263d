"""Download from the Hugging Face hub: `python -m data_cleaning.hub datasets|models ORG/NAME REVISION PATH FOLDER`.

In a process of its own, as the hub's library reads when it is imported whether it may ask the network, and a pipeline
forbids that to its own process.
"""

import sys
from pathlib import Path

UNREACHABLE, REFUSED = 3, 4  # exit codes; what the hub said is the last line of stderr


def several(path: str) -> bool:
    """Whether a path names a folder (trailing slash) or a glob, and not one file."""
    return path.endswith("/") or any(sign in path for sign in "*?[")


def download(kind: str, repository: str, revision: str, path: str, folder: Path) -> int:
    """Files of a repository, under `folder` by their paths in it. Returns an exit code."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    options = {"repo_id": repository, "repo_type": kind.removesuffix("s"), "revision": revision, "local_dir": folder}
    try:
        if several(path):
            pattern = path + "**" if path.endswith("/") else path
            huggingface_hub.snapshot_download(**options, allow_patterns=[pattern])
        else:
            huggingface_hub.hf_hub_download(**options, filename=path)
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, ConnectionError) as error:
        print(type(error).__name__, file=sys.stderr)
        return UNREACHABLE
    except HfHubHTTPError as error:
        print(str(error).splitlines()[0], file=sys.stderr)
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(download(*sys.argv[1:5], Path(sys.argv[5])))
