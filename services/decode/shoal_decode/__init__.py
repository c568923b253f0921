"""Shoal's decode service: probes videos and streams exact frames."""
