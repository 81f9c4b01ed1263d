"""The verdict of a gate on an artifact."""

# (passed, why, figures). If a figure was compared with a threshold, figures["margin"] is its distance from it, in its
# own unit: positive if passed, negative if failed; the smallest of several comparisons.
Verdict = tuple[bool, str, dict]
