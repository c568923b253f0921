"""Limits of calls: the SDK is where a deadline begins, so the numbers live here."""

QUICK_S = 15.0
"""A look into a registry or a ledger."""

PROBE_S = 120.0
"""Counting the frames of a long video."""

TRANSFER_S = 1800.0
"""Converting a model; reading or writing a file of labels."""

PAGE_SIZE = 1000
"""Entries of a list in one answer: the most that services give."""
