"""The network of a sleap-nn model as an ONNX graph: a backbone with its heads.

Confidence maps and part affinity fields are linear 1×1 convolutions; a sigmoid follows those of
class maps (whose logits are around ±40 on labelled animals). Class vectors are the largest value
of each channel of the deepest feature, whatever stride is configured, fully connected layers
with ReLU, one more without, and a softmax.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument
from shoal_serving.graphs.body import Body, Head
from shoal_serving.graphs.builder import FLOAT, GraphBuilder, Value
from shoal_serving.importing.torch_backbone import Pyramid
from shoal_serving.importing.torch_config import TorchConfig
from shoal_serving.importing.torch_files import CONFIG_FILE
from shoal_serving.importing.torch_heads import TorchHead
from shoal_serving.importing.torch_layers import Feature, TorchLayers
from shoal_serving.importing.torch_tensors import PREFIX, TorchTensors

Weights = Mapping[str, NDArray[np.float32]]


def make_torch_body(config: TorchConfig, weights: Weights) -> Body:
    """Returns the network of a sleap-nn model folder.

    Raises:
        InvalidArgument: MODEL_WEIGHTS_MISMATCH when the tensors are not those of the configured
            network, MODEL_CONFIG_INVALID when a head has a stride that the network has not.
    """
    network = _Network(config, weights)
    network.check()
    heads = tuple(Head(head.name, head.channels, head.stride, head.is_map) for head in config.heads)
    return Body(network.channels, config.backbone.max_stride, heads, network.emit)


class _Network:
    """Walks the network in the order of its layers; each walk fills one builder."""

    def __init__(self, config: TorchConfig, weights: Weights) -> None:
        self._config = config
        first_layer = f"{PREFIX}{config.backbone.first_layer}.weight"
        first = weights.get(first_layer)
        self.channels = 1 if first is None or first.ndim != 4 else first.shape[1]
        if first is not None and self.channels == 3 and config.sees_bgr:
            weights = {**weights, first_layer: first[:, ::-1]}
        self._weights = weights

    def check(self) -> None:
        """Walks once; every tensor must have its place, and every place its tensor."""
        tensors = TorchTensors(self._config.folder, self._weights)
        graph = GraphBuilder("check")
        image = graph.input("input", FLOAT, ("B", self.channels, "H", "W"))
        self._walk(TorchLayers(graph, tensors), image)
        tensors.check_all_taken()
        if self.channels not in (1, 3):
            raise tensors.mismatch(f"holds a network that sees {self.channels} channels")

    def emit(self, graph: GraphBuilder, image: Value) -> dict[str, Value]:
        """Adds the network to a graph; returns the heads' maps."""
        tensors = TorchTensors(self._config.folder, self._weights)
        return self._walk(TorchLayers(graph, tensors), image)

    def _walk(self, layers: TorchLayers, image: Value) -> dict[str, Value]:
        pyramid = self._config.backbone.emit(layers, Feature(image, self.channels))
        return {head.name: self._head(layers, head, pyramid) for head in self._config.heads}

    def _head(self, layers: TorchLayers, head: TorchHead, pyramid: Pyramid) -> Value:
        name = f"head_layers.{head.index}"
        if not head.is_map:
            return _class_vectors(layers, name, head, pyramid.deepest)
        feature = pyramid.by_stride.get(head.stride)
        if feature is None:
            strides = ", ".join(map(str, pyramid.by_stride))
            raise InvalidArgument(
                "MODEL_CONFIG_INVALID",
                f"{self._config.folder}: {head.name} has output_stride {head.stride}, but the "
                f"backbone has {strides}; copy {CONFIG_FILE} from the training run again.",
                head=head.name,
            )
        made = layers.conv(f"{name}.{head.class_name}.0", feature, 1, head.channels)
        return layers.graph.op("Sigmoid", made.value) if head.sigmoid else made.value


def _class_vectors(layers: TorchLayers, name: str, head: TorchHead, deepest: Feature) -> Value:
    """Returns the probability of each class [B, K], K classes."""
    vectors = Feature(deepest.value.reduce("ReduceMax", 2, 3), deepest.channels)
    index = 0
    while f"{name}.pre_classification{index}_fc.weight" in layers.tensors:
        vectors = layers.relu(layers.dense(f"{name}.pre_classification{index}_fc", vectors))
        index += 1
    logits = layers.dense(f"{name}.{head.class_name}", vectors, head.channels)
    return layers.graph.op("Softmax", logits.value, axis=-1)
