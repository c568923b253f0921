"""The network of a SLEAP ≤ 1.4 model, read from `best_model.h5` without Keras.

The file's attribute `model_config` holds the functional graph as JSON, the group
`model_weights` its weights at `<layer>/<layer>/<weight>:0`. Every layer becomes nodes of an
ONNX graph (`keras_layers`); any backbone that SLEAP builds out of those layers is read, not
only the UNet.
"""

import json
import math
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument
from shoal_serving.graphs.body import Body, Head
from shoal_serving.graphs.builder import FLOAT, GraphBuilder, Value
from shoal_serving.importing.keras_layers import LAYER_FUNCTIONS, Feature, Layer

WEIGHTS_FILE = "best_model.h5"


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
    """Returns the Keras configuration and all weights by "<layer>/<weight>"."""
    if not path.is_file():
        raise InvalidArgument(
            "MODEL_FILE_MISSING",
            f"{path.parent} has no {path.name}; copy it from the training run.",
            file=path,
        )
    try:
        with h5py.File(path, "r") as file:
            config = json.loads(file.attrs["model_config"])
            weights = _read_weights(file["model_weights"])
    except (OSError, RuntimeError) as error:
        raise InvalidArgument(
            "MODEL_FILE_DAMAGED",
            f"{path} is truncated or not an HDF5 file; copy it from the training run again.",
            file=path,
        ) from error
    except (KeyError, ValueError) as error:
        raise InvalidArgument(
            "MODEL_CONFIG_INVALID",
            f"{path} holds no Keras model (model_config and model_weights); "
            "copy best_model.h5 from a training run of SLEAP 1.4 or older.",
            file=path,
        ) from error
    return config, weights


def _read_weights(group: h5py.Group) -> dict[str, NDArray[np.float32]]:
    weights: dict[str, NDArray[np.float32]] = {}

    def collect(path: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            layer, *_, weight = path.split("/")
            weights[f"{layer}/{weight.removesuffix(':0')}"] = np.asarray(item[()], np.float32)

    group.visititems(collect)
    return weights


class _Network:
    """Walks the functional graph; each emission fills one builder."""

    def __init__(
        self, config: Mapping[str, Any], weights: Mapping[str, NDArray[np.float32]]
    ) -> None:
        self._weights = weights
        self._layers = config["layers"]
        self._outputs = [output[0] for output in config["output_layers"]]
        inputs = [layer for layer in self._layers if layer["class_name"] == "InputLayer"]
        if len(inputs) != 1:
            raise ValueError(f"{len(inputs)} input layers")
        self._input = inputs[0]["config"]["name"]
        self.channels = int(inputs[0]["config"]["batch_input_shape"][-1])

    def body(self) -> Body:
        """Returns the network after one emission that checks every layer."""
        graph = GraphBuilder("check")
        features = self._walk(graph, graph.input("input", FLOAT, ("B", self.channels, "H", "W")))
        strides = [feature.stride for feature in features.values()]
        heads = [features[name] for name in self._outputs]
        graph_heads = tuple(
            Head(name, int(head.channels or 0), int(head.stride), head.is_map)
            for name, head in zip(self._outputs, heads, strict=True)
        )
        max_stride = math.lcm(*(stride.numerator for stride in strides))
        return Body(self.channels, max_stride, graph_heads, self._emit)

    def _emit(self, graph: GraphBuilder, image: Value) -> dict[str, Value]:
        features = self._walk(graph, image)
        return {name: features[name].value for name in self._outputs}

    def _walk(self, graph: GraphBuilder, image: Value) -> dict[str, Feature]:
        features = {self._input: Feature(image, self.channels, Fraction(1))}
        for record in self._layers:
            layer = self._layer(record)
            if layer.class_name == "InputLayer":
                continue
            if layer.class_name not in LAYER_FUNCTIONS:
                raise layer.unsupported("this class")
            if len(record["inbound_nodes"]) != 1:
                raise layer.unsupported("more than one use")
            if layer.config.get("data_format", "channels_last") != "channels_last":
                raise layer.unsupported("channels first")
            inputs = [features[source[0]] for source in record["inbound_nodes"][0]]
            with graph.scope(layer.name):
                features[layer.name] = LAYER_FUNCTIONS[layer.class_name](graph, layer, inputs)
        return features

    def _layer(self, record: Mapping[str, Any]) -> Layer:
        name = record["config"]["name"]

        def weight(kind: str) -> NDArray[np.float32]:
            if f"{name}/{kind}" not in self._weights:
                raise InvalidArgument(
                    "MODEL_WEIGHTS_MISMATCH",
                    f"Layer {name!r} ({record['class_name']}) has no {kind} in {WEIGHTS_FILE}; "
                    "copy the file from the training run again.",
                    layer=name,
                )
            return self._weights[f"{name}/{kind}"]

        return Layer(name, record["class_name"], record["config"], weight)
