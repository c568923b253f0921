"""The network of a SLEAP ≤ 1.4 model, read from `best_model.h5` without Keras.

The file's attribute `model_config` holds the functional graph as JSON, the group
`model_weights` its weights at `<layer>/<layer>/<weight>:0`. Every layer becomes nodes of an
ONNX graph (`keras_layers`); any backbone that SLEAP builds out of those layers is read, not
only the UNet.
"""

import json
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument
from shoal_serving.graphs.body import Body, Head
from shoal_serving.graphs.builder import FLOAT, GraphBuilder, Value
from shoal_serving.importing.keras_encoder_layers import ENCODER_LAYER_FUNCTIONS
from shoal_serving.importing.keras_layers import LAYER_FUNCTIONS, Feature, Layer

WEIGHTS_FILE = "best_model.h5"

MODEL_CLASSES = ("Functional", "Model")
"""Classes of layers that are functional graphs: the encoders of pretrained backbones."""

KNOWN_LAYERS = {**LAYER_FUNCTIONS, **ENCODER_LAYER_FUNCTIONS}
"""Layer class → what writes it."""


def read_keras_body(folder: Path) -> Body:
    """Returns the network of a SLEAP model folder.

    Raises:
        InvalidArgument: MODEL_FILE_MISSING, MODEL_FILE_DAMAGED, MODEL_CONFIG_INVALID (the
            graph is not there), MODEL_WEIGHTS_MISMATCH (weights do not fit a layer) or
            MODEL_KIND_UNSUPPORTED (a layer that the importer does not know).
    """
    path = folder / WEIGHTS_FILE
    config, weights = _read_file(path)
    try:
        network = _Network(config["config"], weights)
        return network.body()
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InvalidArgument(
            "MODEL_CONFIG_INVALID",
            f"The network in {path} cannot be read ({type(error).__name__}: {error}); "
            "copy best_model.h5 from the training run again.",
            file=path,
        ) from error


def _read_file(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    """Returns the Keras configuration and all weights by "[<inner model>/]<layer>/<weight>"."""
    if not path.is_file():
        raise InvalidArgument(
            "MODEL_FILE_MISSING",
            f"{path.parent} has no {path.name}; copy it from the training run.",
            file=path,
        )
    try:
        with h5py.File(path, "r") as file:
            config = json.loads(file.attrs["model_config"])
            weights = _read_weights(file["model_weights"], _models_within(config["config"]))
    except (OSError, RuntimeError) as error:
        raise InvalidArgument(
            "MODEL_FILE_DAMAGED",
            f"{path} is truncated or not an HDF5 file; copy it from the training run again.",
            file=path,
        ) from error
    except (KeyError, ValueError, TypeError) as error:
        raise InvalidArgument(
            "MODEL_CONFIG_INVALID",
            f"{path} holds no Keras model (model_config and model_weights); "
            "copy best_model.h5 from a training run of SLEAP 1.4 or older.",
            file=path,
        ) from error
    return config, weights


def _models_within(config: Mapping[str, Any]) -> set[str]:
    """Returns the names of the layers that are functional graphs themselves."""
    layers = config["layers"]
    return {layer["config"]["name"] for layer in layers if layer["class_name"] in MODEL_CLASSES}


def _read_weights(group: h5py.Group, models: set[str]) -> dict[str, NDArray[np.float32]]:
    weights: dict[str, NDArray[np.float32]] = {}

    def collect(path: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            layer, *scopes, weight = path.split("/")
            if layer in models:
                # An inner model keeps the weights of all its layers in one group.
                layer = "/".join((layer, *scopes))
            weights[f"{layer}/{weight.removesuffix(':0')}"] = np.asarray(item[()], np.float32)

    group.visititems(collect)
    return weights


class _Network:
    """Walks the functional graph; each emission fills one builder."""

    def __init__(
        self, config: Mapping[str, Any], weights: Mapping[str, NDArray[np.float32]]
    ) -> None:
        self._config = config
        self._weights = weights
        inputs = [layer for layer in config["layers"] if layer["class_name"] == "InputLayer"]
        if len(inputs) != 1:
            raise ValueError(f"{len(inputs)} input layers")
        self.channels = int(inputs[0]["config"]["batch_input_shape"][-1])

    def body(self) -> Body:
        """Returns the network after one emission that checks every layer."""
        graph = GraphBuilder("check")
        features = self._features(
            graph, graph.input("input", FLOAT, ("B", self.channels, "H", "W"))
        )
        heads = tuple(
            Head(name, int(head.channels or 0), int(head.stride), head.is_map)
            for name, head in self._heads(features).items()
        )
        strides = [feature.stride for made in features.values() for feature in made]
        max_stride = math.lcm(*(stride.numerator for stride in strides))
        return Body(self.channels, max_stride, heads, self._emit)

    def _emit(self, graph: GraphBuilder, image: Value) -> dict[str, Value]:
        heads = self._heads(self._features(graph, image))
        return {name: head.value for name, head in heads.items()}

    def _heads(self, features: Mapping[str, Sequence[Feature]]) -> dict[str, Feature]:
        return {name: features[name][index] for name, _, index in self._config["output_layers"]}

    def _features(self, graph: GraphBuilder, image: Value) -> dict[str, Sequence[Feature]]:
        features: dict[str, Sequence[Feature]] = {}
        self._walk(graph, self._config, "", [Feature(image, self.channels, Fraction(1))], features)
        return features

    def _walk(
        self,
        graph: GraphBuilder,
        config: Mapping[str, Any],
        prefix: str,
        inputs: Sequence[Feature],
        features: dict[str, Sequence[Feature]],
    ) -> None:
        """Adds a functional graph; every layer's outputs are put under `prefix` and its name."""
        for (name, *_), feature in zip(config["input_layers"], inputs, strict=True):
            features[prefix + name] = [feature]
        for record in config["layers"]:
            if record["class_name"] == "InputLayer":
                continue
            layer = self._layer(record, prefix)
            if len(record["inbound_nodes"]) != 1:
                raise layer.unsupported("more than one use")
            sources = [
                features[prefix + source][index]
                for source, _, index, *_ in record["inbound_nodes"][0]
            ]
            with graph.scope(record["config"]["name"]):
                if layer.class_name in MODEL_CLASSES:
                    self._walk(graph, layer.config, f"{layer.name}/", sources, features)
                    made = [
                        features[f"{layer.name}/{output}"][index]
                        for output, _, index in layer.config["output_layers"]
                    ]
                else:
                    made = [_write(graph, layer, sources)]
            features[prefix + layer.name] = made

    def _layer(self, record: Mapping[str, Any], prefix: str) -> Layer:
        name = record["config"]["name"]

        def weight(kind: str) -> NDArray[np.float32]:
            key = f"{prefix}{name}/{kind}"
            if key not in self._weights:
                raise InvalidArgument(
                    "MODEL_WEIGHTS_MISMATCH",
                    f"Layer {name!r} ({record['class_name']}) has no {kind} in {WEIGHTS_FILE}; "
                    "copy the file from the training run again.",
                    layer=name,
                )
            return self._weights[key]

        return Layer(name, record["class_name"], record["config"], weight)


def _write(graph: GraphBuilder, layer: Layer, sources: Sequence[Feature]) -> Feature:
    if layer.class_name not in KNOWN_LAYERS:
        raise layer.unsupported("this class")
    if layer.config.get("data_format", "channels_last") != "channels_last":
        raise layer.unsupported("channels first")
    return KNOWN_LAYERS[layer.class_name](graph, layer, sources)
