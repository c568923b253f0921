"""Convolutional networks in kernels of our own: kernels.c says how they compute."""
