"""What a gate says of an artifact."""

# (passed, why, figures). Where a figure was held against a threshold, figures["margin"] is how far it stood from it, in its
# own unit: positive passed, negative failed; of several comparisons the narrowest.
Verdict = tuple[bool, str, dict]
