"""Prints the fields in which two scales differ: `python -m orchestration.scales A B`."""

import sys

from orchestration.scales import SCALES, difference, scale

if len(sys.argv) != 3 or not set(sys.argv[1:]) <= set(SCALES):
    sys.exit(f"usage: python -m orchestration.scales A B   with A, B of {', '.join(SCALES)}")
print("\n".join(difference(scale(sys.argv[1]), scale(sys.argv[2]))))
