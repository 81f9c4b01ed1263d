"""Deletes all votes of a rater, and opinions of others on what the rater asked: `python -m modeling.rlhf.ratings.forget NAME`.

The next run learns from them no more, where their batch is still complete without them. Artifacts that were made before
hold the texts of the votes, without the rater's name.
"""

import sys

from modeling.rlhf.ratings.store import RatingsError, Store


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("error: name one rater, as the tab Results begins it: python -m modeling.rlhf.ratings.forget NAME",
              file=sys.stderr)  # fmt: skip
        return 2
    try:
        gone, others = Store.here().forget(arguments[0])
    except RatingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{gone} votes of {arguments[0]} are deleted, and {others} votes of others on what {arguments[0]} asked")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
