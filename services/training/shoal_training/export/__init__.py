"""What a trained network becomes: a model folder for serving, or one for sleap-nn."""

from shoal_training.export.description import ModelDescription
from shoal_training.export.model_folder import ParityFrames, export_model

__all__ = ["ModelDescription", "ParityFrames", "export_model"]
