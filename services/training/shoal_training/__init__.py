"""Trains pose models; a program that a job starts, usable alone (`python -m shoal_training`)."""
