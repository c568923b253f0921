"""Shoal's embedded inference engine behind the Open Inference Protocol."""
