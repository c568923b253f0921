"""From an ONNX file to layers that the kernels compute; networks that they cannot are refused."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper

from shoal_core.errors import FailedPrecondition
from shoal_engine.winograd.layers import (
    Floats,
    Kind,
    Layer,
    convolution,
    transposed_convolution,
)

_MOST_TAPS = 7
"""Of a kernel, along an axis: a tap further than 3 pixels away is in no neighbouring tile."""


@dataclass(frozen=True)
class Output:
    """What a network gives."""

    name: str
    tensor: str
    is_squashed: bool
    """Whether it is the sigmoid of the tensor."""


@dataclass(frozen=True)
class Network:
    """A network of one float32 input [B, C, H, W]."""

    input_name: str
    input_channels: int
    layers: tuple[Layer, ...]
    outputs: tuple[Output, ...]
    """In the file's order."""

    @property
    def margin(self) -> int:
        """How many pixels beyond an image its layers read."""
        return max((layer.reach for layer in self.layers), default=0)

    def channel_counts(self) -> dict[str, int]:
        """Returns how many channels each tensor has."""
        counts = {layer.output: layer.outputs for layer in self.layers}
        return {self.input_name: self.input_channels, **counts}


def read_network(path: Path, most_sums: int) -> Network:
    """Reads an ONNX file.

    Args:
        path: The file.
        most_sums: Output channels that the kernels can sum up at once.

    Raises:
        FailedPrecondition: MODEL_LOAD_FAILED when it cannot be read or holds what the kernels
            do not compute.
    """
    try:
        graph = onnx.load(path).graph
    except (OSError, DecodeError) as error:
        raise _refusal(path, "cannot be read as ONNX") from error
    reader = _Reader(path, graph, most_sums)
    for node in graph.node:
        reader.add(node)
    return reader.network()


class _Reader:
    """Nodes in the order of the file, gathered as layers."""

    def __init__(self, path: Path, graph: onnx.GraphProto, most_sums: int) -> None:
        self._path = path
        self._graph = graph
        self._most_sums = most_sums
        self._layers: list[Layer] = []
        self._constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        self._users: dict[str, list[onnx.NodeProto | None]] = {}
        for node in graph.node:
            for name in node.input:
                self._users.setdefault(name, []).append(node)
        for value in graph.output:
            self._users.setdefault(value.name, []).append(None)
        inputs = [value for value in graph.input if value.name not in self._constants]
        tensor = inputs[0].type.tensor_type
        axes = [axis.dim_value for axis in tensor.shape.dim]
        is_image = tensor.elem_type == onnx.TensorProto.FLOAT and len(axes) == 4 and axes[1] > 0
        if len(inputs) != 1 or not is_image:
            raise _refusal(path, f"does not take one float32 image [B, C, H, W] but {axes}")
        self._input_name, self._input_channels = inputs[0].name, axes[1]
        # Name of a value → tensors that its channels are in.
        self._parts: dict[str, tuple[str, ...]] = {self._input_name: (self._input_name,)}
        self._squashed: set[str] = set()

    def add(self, node: onnx.NodeProto) -> None:
        """Adds what a node computes."""
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        match node.op_type:
            case "Conv":
                self._add_convolution(node, attributes)
            case "ConvTranspose":
                self._add_transposed(node, attributes)
            case "Relu" if node.output[0] in self._parts:
                pass  # the layer before it ends with it
            case "MaxPool":
                # Of sides that are even, which a plan demands, `auto_pad` pads nothing.
                self._require(node, attributes, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=0)
                self._require(node, attributes, pads=[0, 0, 0, 0])
                self._add_scaling(node, Kind.POOL)
            case "Resize":
                self._add_upsampling(node, attributes)
            case "Concat" if attributes["axis"] == 1:
                self._parts[node.output[0]] = self._taken(node, node.input)
            case "Identity":
                self._parts[node.output[0]] = self._parts[node.input[0]]
                if node.input[0] in self._squashed:
                    self._squashed.add(node.output[0])
            case "Sigmoid":  # of an output: no layer takes it
                self._parts[node.output[0]] = self._taken(node, node.input)
                self._squashed.add(node.output[0])
            case _:
                raise self._unsupported(node, "here")

    def network(self) -> Network:
        """Returns what was added."""
        outputs = []
        for value in self._graph.output:
            parts = self._parts[value.name]
            if len(parts) != 1:
                raise _refusal(self._path, f"has an output of several tensors, {value.name!r}")
            outputs.append(Output(value.name, parts[0], value.name in self._squashed))
        return Network(self._input_name, self._input_channels, tuple(self._layers), tuple(outputs))

    def _add_convolution(self, node: onnx.NodeProto, attributes: dict[str, Any]) -> None:
        weights_OIYX, biases_O = self._weights(node, output_axis=0)
        sizes = weights_OIYX.shape[2:]
        same = [size // 2 for size in sizes]
        self._require(node, attributes, auto_pad=b"NOTSET", dilations=[1, 1], group=1)
        self._require(node, attributes, strides=[1, 1])
        self._require(node, attributes, pads=[*same, *same])
        if any(size % 2 == 0 or size > _MOST_TAPS for size in sizes):
            raise self._unsupported(node, f"of kernel size {sizes[0]} x {sizes[1]}")
        output, has_relu = self._activated(node.output[0])
        inputs = self._taken(node, node.input[:1])
        self._append(
            convolution(
                inputs, output, weights_OIYX, biases_O,
                has_relu=has_relu, most_sums=self._most_sums,
            )
        )  # fmt: skip

    def _add_transposed(self, node: onnx.NodeProto, attributes: dict[str, Any]) -> None:
        weights_IOYX, biases_O = self._weights(node, output_axis=1)
        height, width = weights_IOYX.shape[2:]
        top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
        below, beside = attributes.get("output_padding", [0, 0])
        self._require(node, attributes, auto_pad=b"NOTSET", dilations=[1, 1], group=1)
        self._require(node, attributes, strides=[2, 2])
        grows = (height - 2 - top - bottom + below, width - 2 - left - right + beside)
        if grows != (0, 0) or height != width or top != left or height > 4:
            raise self._unsupported(node, "that does not double the image")
        output, has_relu = self._activated(node.output[0])
        inputs = self._taken(node, node.input[:1])
        self._append(
            transposed_convolution(
                inputs, output, weights_IOYX, biases_O,
                padding=top, has_relu=has_relu, most_sums=self._most_sums,
            )
        )  # fmt: skip

    def _add_upsampling(self, node: onnx.NodeProto, attributes: dict[str, Any]) -> None:
        factors = self._constants.get(node.input[2]) if len(node.input) == 3 else None
        is_double = factors is not None and np.array_equal(factors, [1, 1, 2, 2])
        if not is_double or attributes.get("mode", b"nearest") != b"linear":
            raise self._unsupported(node, "that does not double the image bilinearly")
        self._require(node, attributes, coordinate_transformation_mode=b"half_pixel")
        self._add_scaling(node, Kind.UPSAMPLE)

    def _add_scaling(self, node: onnx.NodeProto, kind: Kind) -> None:
        inputs = self._taken(node, node.input[:1])
        counts = {layer.output: layer.outputs for layer in self._layers}
        counts[self._input_name] = self._input_channels
        outputs = sum(counts[name] for name in inputs)
        self._append(Layer(kind, inputs, node.output[0], outputs))

    def _append(self, layer: Layer) -> None:
        self._layers.append(layer)
        self._parts[layer.output] = (layer.output,)

    def _activated(self, name: str) -> tuple[str, bool]:
        """Returns the name of a layer's output after a ReLU that follows, and whether one does."""
        users = self._users.get(name, [])
        if len(users) == 1 and users[0] is not None and users[0].op_type == "Relu":
            return users[0].output[0], True
        return name, False

    def _taken(self, node: onnx.NodeProto, names: Iterable[str]) -> tuple[str, ...]:
        names = list(names)
        known = self._parts.keys() - self._squashed
        if unknown := [name for name in names if name not in known]:
            raise self._unsupported(node, f"of {unknown[0]!r}, which no layer gives")
        return tuple(tensor for name in names for tensor in self._parts[name])

    def _weights(self, node: onnx.NodeProto, output_axis: int) -> tuple[Floats, Floats]:
        weights = self._constants.get(node.input[1])
        if weights is None or weights.ndim != 4:
            raise self._unsupported(node, "of weights that are no constant images")
        if len(node.input) < 3:
            return weights, np.zeros(weights.shape[output_axis], np.float32)
        return weights, np.ascontiguousarray(self._constants[node.input[2]], np.float32)

    def _require(self, node: onnx.NodeProto, attributes: dict[str, Any], **wanted: Any) -> None:
        for name, value in wanted.items():
            found = attributes.get(name, _DEFAULTS.get(name))
            if found != value:
                raise self._unsupported(node, f"with {name} {found}")

    def _unsupported(self, node: onnx.NodeProto, what: str) -> FailedPrecondition:
        return _refusal(self._path, f"has a {node.op_type} {what}")


_DEFAULTS: dict[str, Any] = {
    "auto_pad": b"NOTSET",
    "strides": [1, 1],
    "dilations": [1, 1],
    "group": 1,
    "pads": [0, 0, 0, 0],
    "ceil_mode": 0,
    "coordinate_transformation_mode": b"half_pixel",
}
"""What ONNX means by an attribute that is not there."""


def _refusal(path: Path, problem: str) -> FailedPrecondition:
    return FailedPrecondition(
        "MODEL_LOAD_FAILED",
        f"{path.name} {problem}, which the Winograd kernels do not compute; choose another "
        "backend.",
        file=path.name,
    )
