"""Shoal's UNet with SLEAP's weights computes what SLEAP's own network computes."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from shoal_training.config import UNetConfig
from shoal_training.heads import HeadSpec
from shoal_training.networks import PoseNetwork, build_network

MODELS = {
    "min_tracks_2node.UNet.bottomup_multiclass": UNetConfig(
        filters=8, filters_rate=1.5, max_stride=16
    ),
    "minimal_instance.UNet.bottomup": UNetConfig(
        filters=16, filters_rate=1.5, max_stride=8, upsampling="transposed"
    ),
    "minimal_robot.UNet.single_instance": UNetConfig(
        filters=8, filters_rate=2.0, max_stride=4, output_stride=4
    ),
}
SIGMOID = "ClassMapsHead"
TOLERANCE = 1.2e-5
"""Computed in float64: what TensorFlow's float32 is away from that in one stored output."""


def _layers(network: PoseNetwork) -> list[torch.nn.Module]:
    """Returns the layers with weights in the order in which Keras lists them."""
    kinds = (torch.nn.Conv2d, torch.nn.ConvTranspose2d)
    return [layer for layer in network.modules() if isinstance(layer, kinds)]


def _read(folder: Path) -> tuple[list[tuple[str, np.ndarray, np.ndarray]], int]:
    with h5py.File(folder / "best_model.h5") as file:
        layers = json.loads(file.attrs["model_config"])["config"]["layers"]
        names = [
            layer["config"]["name"] for layer in layers if layer["class_name"].startswith("Conv2D")
        ]
        weights = file["model_weights"]
        found = [
            (name, weights[f"{name}/{name}/kernel:0"][()], weights[f"{name}/{name}/bias:0"][()])
            for name in names
        ]
        channels = layers[0]["config"]["batch_input_shape"][-1]
    return found, channels


@pytest.mark.parametrize("model", sorted(MODELS))
def test_activations_are_those_of_the_original(model: str, shared_data: Path) -> None:
    folder = shared_data / "models" / model
    weights, channels = _read(folder)
    with h5py.File(folder / "keras_activations.h5") as file:
        expected = {name: file[name][()] for name in file if name != "metadata"}
    sizes = {name: maps.shape[1] for name, maps in expected.items()}
    widest = max(maps.shape[2] for maps in expected.values())
    config = MODELS[model]
    finest = max(sizes.values()) * config.output_stride
    heads = [
        HeadSpec(
            name.removesuffix("_0"),
            expected[name].shape[-1],
            finest // sizes[name],
            output="sigmoid" if name.startswith(SIGMOID) else "linear",
        )
        for name, _, _ in weights
        if name in expected
    ]
    network = build_network(config, channels, heads).eval()
    with torch.no_grad():
        for layer, (_, kernel, bias) in zip(_layers(network), weights, strict=True):
            layer.weight.copy_(torch.from_numpy(kernel).permute(3, 2, 0, 1))
            layer.bias.copy_(torch.from_numpy(bias))
        image = torch.zeros(1, channels, finest, widest * config.output_stride).double()
        outputs = network.double().inference_network()(image)
    for name, maps in expected.items():
        made = outputs[name.removesuffix("_0")].permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(made, maps, atol=TOLERANCE, rtol=0)
