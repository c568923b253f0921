"""Training profiles of other programs, as configurations."""

from shoal_training.profiles.profile import read_profile

__all__ = ["read_profile"]
