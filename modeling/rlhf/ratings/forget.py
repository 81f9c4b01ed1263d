"""Deletes what a person left in the chat's database: `python -m modeling.rlhf.ratings.forget NAME`.

That is all votes, opinions of others on what the person asked, and shared dialogues. The next run learns from the votes
no more, where their batch is still complete without them. Artifacts that were made before hold the texts of the votes,
without the rater's name.
"""

import sys

from modeling.rlhf.ratings.database import RatingsError
from modeling.rlhf.ratings.shared_dialogues import SharedDialogues
from modeling.rlhf.ratings.store import Store


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("error: name one rater, as the tab Results begins it: python -m modeling.rlhf.ratings.forget NAME",
              file=sys.stderr)  # fmt: skip
        return 2
    name = arguments[0]
    try:
        gone, others = Store.here().forget(name)
        shared = SharedDialogues.here().forget(name)
    except RatingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"deleted: {gone} votes of {name}, {others} votes of others on what {name} asked, {shared} shared dialogues")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
