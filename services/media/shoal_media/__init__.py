"""Shoal's media library: exact video readers, writers, rendering."""
