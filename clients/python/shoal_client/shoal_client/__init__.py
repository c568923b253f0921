"""Shoal's Python SDK."""
