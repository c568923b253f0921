"""Writes Keras model files for tests: a chain of layers with random weights."""

import json
from pathlib import Path

import h5py
import numpy as np

CONV = {
    "kernel_size": [3, 3],
    "strides": [1, 1],
    "padding": "same",
    "dilation_rate": [1, 1],
    "activation": "linear",
    "data_format": "channels_last",
}


def layer(class_name, name, inputs, **config):
    return {
        "class_name": class_name,
        "name": name,
        "config": {"name": name, **config},
        "inbound_nodes": [[[source, 0, 0, {}] for source in inputs]] if inputs else [],
    }


def image_input(channels):
    return layer("InputLayer", "input", [], batch_input_shape=[None, 32, 32, channels])


def write_model(folder: Path, layers, outputs, weights) -> Path:
    """Writes best_model.h5 as Keras does; `weights` maps layer → weight name → array."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "class_name": "Functional",
        "config": {
            "layers": layers,
            "input_layers": [["input", 0, 0]],
            "output_layers": [[name, 0, 0] for name in outputs],
        },
    }
    with h5py.File(folder / "best_model.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        group = file.create_group("model_weights")
        for name, arrays in weights.items():
            layer_group = group.create_group(name)
            # The weights of a graph within the graph have the names of its layers.
            names = [f"{key}:0" if "/" in key else f"{name}/{key}:0" for key in arrays]
            layer_group.attrs["weight_names"] = [full_name.encode() for full_name in names]
            for full_name, array in zip(names, arrays.values(), strict=True):
                layer_group[full_name] = np.asarray(array, np.float32)
    return folder
