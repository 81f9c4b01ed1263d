"""Fetches the embedded sources into the download cache, so that the tests need no network.

Leaves out the checkpoint that a scale may adopt: it is the largest, and no test of the default path reads it.

Usage: python -m orchestration.fetch
"""

import sys
import tempfile
from pathlib import Path

from data_cleaning.recipes import SourcesRecipe
from data_cleaning.sources import fetch
from data_cleaning.sources.errors import SourceError, Unreachable
from orchestration.console import StageLog
from orchestration.sources import sources


def main() -> None:
    log = StageLog("sources")
    with tempfile.TemporaryDirectory() as folder:
        try:
            fetch.run(
                SourcesRecipe(tuple(source for source in sources() if source.use != "checkpoint")),
                {},
                Path(folder),
                log,
            )
        except (SourceError, Unreachable) as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
