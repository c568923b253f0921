"""Makes a multi-class centred-instance folder out of a real centred-instance one.

The network keeps its backbone and heads; a class vector, as SLEAP builds it, is put on its
narrowest feature, with random weights.
"""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np

from tests.unit.serving.importing.keras_files import layer

CLASSES = ("female", "male", "other")
UNITS = 8
HEAD = "ClassVectorsHead_0"


def graft_class_vectors(source: Path, folder: Path, *, global_pool: bool = True) -> Path:
    """Writes the folder; without global pool the vector depends on every pixel's place."""
    folder.mkdir(parents=True)
    shutil.copy(source / "best_model.h5", folder)
    config = json.loads((source / "training_config.json").read_text())
    heads = config["model"]["heads"]
    vectors = {"classes": CLASSES, "num_fc_layers": 1, "num_fc_units": UNITS, "output_stride": 8}
    heads["multi_class_topdown"] = {
        "confmaps": heads["centered_instance"],
        "class_vectors": {**vectors, "global_pool": global_pool, "loss_weight": 1.0},
    }
    heads["centered_instance"] = None
    (folder / "training_config.json").write_text(json.dumps(config))
    with h5py.File(folder / "best_model.h5", "r+") as file:
        network = json.loads(file.attrs["model_config"])
        layers = network["config"]["layers"]
        names = [record["config"]["name"] for record in layers]
        upsampling = next(i for i, r in enumerate(layers) if r["class_name"] == "Conv2DTranspose")
        channels = layers[upsampling - 2]["config"]["filters"]
        side = config["data"]["instance_cropping"]["crop_size"] // 8
        layers += _layers(names[upsampling - 1], global_pool)
        network["config"]["output_layers"].append([HEAD, 0, 0])
        file.attrs["model_config"] = json.dumps(network)
        length = channels if global_pool else channels * side * side
        for name, shape in (("pre_classification0_fc", (length, UNITS)), (HEAD, (UNITS, 3))):
            _write_dense(file["model_weights"], name, shape)
    return folder


def _layers(source: str, global_pool: bool):
    dense = {"use_bias": True}
    pool = layer("GlobalMaxPooling2D", "pre_classification_global_pool", [source])
    flat_source = pool["name"] if global_pool else source
    return [
        *([pool] if global_pool else []),
        layer("Flatten", "pre_classification_flatten", [flat_source]),
        layer(
            "Dense",
            "pre_classification0_fc",
            ["pre_classification_flatten"],
            units=UNITS,
            activation="linear",
            **dense,
        ),
        layer(
            "Activation",
            "pre_classification0_relu",
            ["pre_classification0_fc"],
            activation="relu",
        ),
        layer(
            "Dense",
            HEAD,
            ["pre_classification0_relu"],
            units=len(CLASSES),
            activation="softmax",
            **dense,
        ),
    ]


def _write_dense(weights: h5py.Group, name: str, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape[0])
    group = weights.create_group(name)
    arrays = {
        "kernel": rng.normal(0, 2 / np.sqrt(shape[0]), shape),
        "bias": rng.normal(0, 0.5, shape[1:]),
    }
    group.attrs["weight_names"] = [f"{name}/{key}:0".encode() for key in arrays]
    for key, array in arrays.items():
        group[f"{name}/{key}:0"] = array.astype(np.float32)
