"""Existing model folders become served models."""

from shoal_serving.importing.model_import import import_model

__all__ = ["import_model"]
