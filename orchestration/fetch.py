"""Fetches every embedded source into the download cache, so that all that follows needs no network.

Usage: python -m orchestration.fetch
"""

import sys
import tempfile
from pathlib import Path

from data_cleaning import fetch
from data_cleaning.recipes import SourcesRecipe
from orchestration.console import StageLog
from orchestration.stage import sources


def main() -> None:
    log = StageLog("sources")
    with tempfile.TemporaryDirectory() as folder:
        try:
            fetch.run(SourcesRecipe(sources()), {}, Path(folder), log)
        except fetch.SourceError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
