"""Shoal's numeric core: arrays in, arrays out; numpy and scipy only."""
