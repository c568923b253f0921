"""The files of a model folder that Shoal's own training writes."""

CONFIG_FILE = "shoal_model.json"
NETWORK_FILE = "network.onnx"
PARITY_FILE = "parity.npz"
MODEL_FOLDER = "model"
"""Folder of a training run that holds them."""
