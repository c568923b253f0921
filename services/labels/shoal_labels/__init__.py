"""Shoal's label store: predictions as immutable segments, import and export."""
