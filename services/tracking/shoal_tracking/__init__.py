"""Shoal's tracking service: live sessions, frames or poses in, identified poses out."""
