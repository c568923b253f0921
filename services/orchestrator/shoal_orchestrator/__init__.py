"""Shoal's orchestrator: durable jobs, segments, leases, progress."""
