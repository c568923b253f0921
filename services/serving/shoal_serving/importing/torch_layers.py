"""The layers that sleap-nn's networks are made of, as ONNX nodes.

Axis legend: B images or crops, C channels, H W map pixels.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_serving.graphs.builder import FLOAT, GraphBuilder, Value
from shoal_serving.importing.torch_tensors import TorchTensors


@dataclass(frozen=True)
class Feature:
    """Maps [B, C, H, W] inside the network."""

    value: Value
    channels: int


class TorchLayers:
    """Adds layers to a graph, with their tensors by the layers' names in the checkpoint."""

    def __init__(self, graph: GraphBuilder, tensors: TorchTensors) -> None:
        """Takes the graph to fill and where the tensors come from."""
        self.graph = graph
        self.tensors = tensors

    def conv(self, name: str, feature: Feature, size: int, filters: int | None = None) -> Feature:
        """Returns a convolution that keeps height and width.

        Of an even kernel's padding the odd pixel lies at the bottom and right.
        """
        kernel = self.tensors.take(f"{name}.weight", (filters, feature.channels, size, size))
        before, after = (size - 1) // 2, size // 2
        value = self._node(
            name,
            "Conv",
            feature.value,
            kernel,
            len(kernel),
            kernel_shape=[size, size],
            pads=[before, before, after, after],
        )
        return Feature(value, len(kernel))

    def patches(self, name: str, feature: Feature, stride: int, pad: int) -> Feature:
        """Returns a convolution whose pixels are `stride` apart, `pad` zeros on every side."""
        kernel = self.tensors.take(f"{name}.weight", (None, feature.channels, None, None))
        size = list(kernel.shape[2:])
        shape = {"kernel_shape": size, "strides": [stride, stride], "pads": [pad] * 4}
        value = self._node(name, "Conv", feature.value, kernel, len(kernel), **shape)
        return Feature(value, len(kernel))

    def depthwise(self, name: str, feature: Feature, size: int) -> Feature:
        """Returns a convolution of each channel by itself that keeps height and width."""
        channels = feature.channels
        kernel = self.tensors.take(f"{name}.weight", (channels, 1, size, size))
        shape = {"kernel_shape": [size, size], "group": channels, "pads": [size // 2] * 4}
        value = self._node(name, "Conv", feature.value, kernel, channels, **shape)
        return Feature(value, channels)

    def pointwise(self, name: str, feature: Feature, *, has_bias: bool = True) -> Feature:
        """Returns a fully connected layer of each pixel's channels."""
        weights = self.tensors.take(f"{name}.weight", (None, feature.channels))
        kernel, filters = weights[:, :, None, None], len(weights)
        if has_bias:
            value = self._node(name, "Conv", feature.value, kernel, filters, kernel_shape=[1, 1])
        else:
            constant = self.graph.constant(kernel, FLOAT)
            value = self.graph.op("Conv", feature.value, constant, kernel_shape=[1, 1])
        return Feature(value, filters)

    def normalized(self, name: str, feature: Feature, epsilon: float) -> Feature:
        """Returns each pixel's channels with mean 0 and variance 1, scaled and shifted."""
        scale = self.tensors.take(f"{name}.weight", (feature.channels,))
        shift = self.tensors.take(f"{name}.bias", (feature.channels,))
        constants = (self.graph.constant(array, FLOAT) for array in (scale, shift))
        last = feature.value.transpose(0, 2, 3, 1)
        value = self.graph.op("LayerNormalization", last, *constants, axis=-1, epsilon=epsilon)
        return Feature(value.transpose(0, 3, 1, 2), feature.channels)

    def gelu(self, feature: Feature) -> Feature:
        """Returns x · Φ(x), Φ the normal distribution."""
        value = feature.value
        error = self.graph.op("Erf", value * (1 / math.sqrt(2)))
        return Feature(value * (error + 1.0) * 0.5, feature.channels)

    def convs(self, name: str, count: int, feature: Feature, size: int) -> Feature:
        """Returns convolutions `name`0, `name`1 … one after another, each with ReLU."""
        for index in range(count):
            feature = self.relu(self.conv(f"{name}{index}", feature, size))
        return feature

    def doubled(self, name: str, feature: Feature) -> Feature:
        """Returns a transposed convolution of twice the size: kernel 3, padding 1 and 1 more."""
        kernel = self.tensors.take(f"{name}.weight", (feature.channels, None, 3, 3))
        value = self._node(
            name,
            "ConvTranspose",
            feature.value,
            kernel,
            kernel.shape[1],
            kernel_shape=[3, 3],
            strides=[2, 2],
            pads=[1, 1, 1, 1],
            output_padding=[1, 1],
        )
        return Feature(value, kernel.shape[1])

    def dense(self, name: str, vectors: Feature, units: int | None = None) -> Feature:
        """Returns a fully connected layer of vectors [B, C]."""
        weights = self.tensors.take(f"{name}.weight", (units, vectors.channels))
        value = self._node(name, "Gemm", vectors.value, weights, len(weights), transB=1)
        return Feature(value, len(weights))

    def relu(self, feature: Feature) -> Feature:
        """Returns the feature without what is negative."""
        return Feature(self.graph.op("Relu", feature.value), feature.channels)

    def pool(self, feature: Feature) -> Feature:
        """Returns the largest of each 2×2 pixels."""
        value = self.graph.op("MaxPool", feature.value, kernel_shape=[2, 2], strides=[2, 2])
        return Feature(value, feature.channels)

    def interpolated(self, feature: Feature) -> Feature:
        """Returns the maps at twice the size: bilinear, half-pixel centres."""
        absent = Value(self.graph, "", FLOAT)
        scales = self.graph.constant([1, 1, 2, 2], FLOAT)
        value = self.graph.op(
            "Resize",
            feature.value,
            absent,
            scales,
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )
        return Feature(value, feature.channels)

    def joined(self, first: Feature, second: Feature) -> Feature:
        """Returns the channels of both."""
        value = self.graph.concat([first.value, second.value], axis=1)
        return Feature(value, first.channels + second.channels)

    def _node(
        self,
        name: str,
        op: str,
        value: Value,
        kernel: NDArray[np.float32],
        filters: int,
        **attributes: Any,
    ) -> Value:
        bias = self.tensors.take(f"{name}.bias", (filters,))
        with self.graph.scope(name.replace(".", "_")):
            return self.graph.op(
                op,
                value,
                self.graph.constant(kernel, FLOAT),
                self.graph.constant(bias, FLOAT),
                **attributes,
            )
