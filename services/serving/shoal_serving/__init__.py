"""Shoal's model registry and control plane of model serving."""
