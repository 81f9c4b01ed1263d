"""Downloads from the Hugging Face hub.

Usage: python -m data_cleaning.sources.hub datasets|models ORG/NAME REVISION PATH FOLDER

This runs in a process of its own: the hub's library decides on import whether it may use the network, and the
pipeline's own process is offline.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data_cleaning.reading import archives
from data_cleaning.sources.faults import BUSY

CONNECTIONS = 8
UNREACHABLE, REFUSED = 3, 4  # exit codes; the last line of stderr is the hub's message


def several(path: str) -> bool:
    """Returns whether a path names a folder (trailing slash) or a glob, and not one file."""
    return path.endswith("/") or any(sign in path for sign in "*?[")


def download(kind: str, repository: str, revision: str, path: str, folder: Path) -> int:
    """Downloads files of a repository to `folder`, by their paths in the repository. Returns an exit code."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    where = {"repo_id": repository, "repo_type": kind.removesuffix("s")}

    def get(name: str) -> None:
        huggingface_hub.hf_hub_download(**where, revision=revision, local_dir=folder, filename=name)

    try:
        names = [path]
        if several(path):
            # In the hub library's patterns, * crosses folders. So the selection happens here, from a single commit.
            hub = huggingface_hub.HfApi()
            revision = hub.repo_info(**where, revision=revision).sha
            listed = hub.list_repo_files(**where, revision=revision)
            names = [name for name in listed if archives.matches(name, path)]
        if not names:
            return _failed(REFUSED, f"no file of {repository} fits {path!r}")
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(get, names))
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, ConnectionError) as error:
        return _failed(UNREACHABLE, type(error).__name__)
    except HfHubHTTPError as error:
        busy = error.response is not None and error.response.status_code in BUSY
        return _failed(UNREACHABLE if busy else REFUSED, str(error).splitlines()[0])
    except HTTPError as error:  # from the hub's HTTP library: no response at all
        return _failed(UNREACHABLE, type(error).__name__)
    except OSError as error:  # without errno: the hub's library received fewer bytes than stated
        if error.errno is not None:
            raise
        return _failed(UNREACHABLE, str(error).splitlines()[0])
    return 0


def _failed(code: int, told: str) -> int:
    print(told, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(download(*sys.argv[1:5], Path(sys.argv[5])))
