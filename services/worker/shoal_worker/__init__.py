"""Shoal's worker: decodes, infers, groups and links the segments that it leases."""
