"""Convolutional networks in kernels of our own: see kernels.c for how they compute."""
