"""Keras layers as ONNX nodes, one function per layer class.

Keras keeps images as [B, H, W, C] and kernels as (height, width, in, out); the graphs here
keep [B, C, H, W] and (out, in, height, width). "SAME" padding follows TensorFlow: as much
as is needed for ceil(size / stride) outputs, the odd pixel at the bottom and right.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument
from shoal_serving.graphs.builder import FLOAT, GraphBuilder, Value

Weights = Callable[[str], NDArray[np.float32]]
"""Returns a weight of the layer by its short name: "kernel", "bias", "gamma" …"""


@dataclass(frozen=True)
class Feature:
    """A tensor of the network and what is known about it while the graph is built."""

    value: Value
    channels: int | None
    """Length of axis 1; None where it depends on the image's size (after Flatten)."""
    stride: Fraction
    """Network input pixels per pixel of this tensor."""
    is_map: bool = True
    """Whether it has rows and columns; otherwise it is [B, C]."""


@dataclass(frozen=True)
class Layer:
    """One layer of the Keras configuration, with access to its weights."""

    name: str
    class_name: str
    config: Mapping[str, Any]
    weights: Weights

    def fail(self, reason: str, problem: str) -> InvalidArgument:
        """Returns the error that names this layer."""
        message = f"Layer {self.name!r} ({self.class_name}) {problem}."
        return InvalidArgument(reason, message, layer=self.name, layer_class=self.class_name)

    def unsupported(self, problem: str) -> InvalidArgument:
        """Returns the error for a setting that the importer does not know."""
        return self.fail(
            "MODEL_KIND_UNSUPPORTED",
            f"with {problem} cannot be imported; train the model with a UNet backbone instead",
        )

    def weight(self, kind: str, shape: tuple[int | None, ...]) -> NDArray[np.float32]:
        """Returns a weight after checking its shape (None fits any length).

        Raises:
            InvalidArgument: MODEL_WEIGHTS_MISMATCH when the stored shape is another one.
        """
        array = self.weights(kind)
        fits = len(array.shape) == len(shape) and all(
            expected in (None, actual) for expected, actual in zip(shape, array.shape, strict=True)
        )
        if not fits:
            expected = "x".join("?" if length is None else str(length) for length in shape)
            actual = "x".join(map(str, array.shape))
            raise self.fail(
                "MODEL_WEIGHTS_MISMATCH",
                f"needs {kind} of shape {expected}, but best_model.h5 holds {actual}; "
                "copy both files of the folder from the same training run",
            )
        return array


LayerFunction = Callable[[GraphBuilder, Layer, Sequence[Feature]], Feature]


def activation(graph: GraphBuilder, layer: Layer, feature: Feature) -> Feature:
    """Returns the feature after the layer's `activation`, if it has one."""
    name = layer.config.get("activation", "linear")
    value = feature.value
    match name:
        case "linear" | None:
            return feature
        case "relu":
            value = graph.op("Relu", value)
        case "sigmoid":
            value = graph.op("Sigmoid", value)
        case "tanh":
            value = graph.op("Tanh", value)
        case "swish":
            value = value * graph.op("Sigmoid", value)
        case "softmax":
            value = graph.op("Softmax", value, axis=1)
        case _:
            raise layer.unsupported(f"activation {name!r}")
    return replace(feature, value=value)


def same_padding(layer: Layer, size: Sequence[int], strides: Sequence[int]) -> dict[str, Any]:
    """Returns the ONNX padding attributes of a window over `size` pixels (dilation included)."""
    match layer.config["padding"]:
        case "valid":
            return {"pads": [0, 0, 0, 0]}
        case "same" if max(strides) == 1:
            before = [(length - 1) // 2 for length in size]
            after = [length - 1 - first for length, first in zip(size, before, strict=True)]
            return {"pads": before + after}
        case "same":
            return {"auto_pad": "SAME_UPPER"}
        case other:
            raise layer.unsupported(f"padding {other!r}")


def stride_of(layer: Layer) -> int:
    """Returns the one stride of both axes."""
    strides = layer.config["strides"]
    if strides[0] != strides[1]:
        raise layer.unsupported(f"strides {strides}")
    return int(strides[0])


def bias_of(graph: GraphBuilder, layer: Layer, length: int) -> list[Value]:
    """Returns the layer's bias, or nothing where it has none."""
    if not layer.config.get("use_bias", True):
        return []
    return [graph.constant(layer.weight("bias", (length,)), FLOAT)]


def conv(graph: GraphBuilder, layer: Layer, inputs: Sequence[Feature]) -> Feature:
    """Conv2D."""
    (feature,) = inputs
    config = layer.config
    height, width = config["kernel_size"]
    groups, filters = int(config.get("groups", 1)), int(config["filters"])
    group_channels = None if feature.channels is None else feature.channels // groups
    kernel = layer.weight("kernel", (height, width, group_channels, filters))
    dilations = list(config.get("dilation_rate", (1, 1)))
    reach = [(height - 1) * dilations[0] + 1, (width - 1) * dilations[1] + 1]
    stride = stride_of(layer)
    value = graph.op(
        "Conv",
        feature.value,
        graph.constant(kernel.transpose(3, 2, 0, 1), FLOAT),
        *bias_of(graph, layer, filters),
        kernel_shape=[height, width],
        strides=[stride, stride],
        dilations=dilations,
        group=groups,
        **same_padding(layer, reach, (stride, stride)),
    )
    return activation(graph, layer, Feature(value, filters, feature.stride * stride))


def conv_transpose(graph: GraphBuilder, layer: Layer, inputs: Sequence[Feature]) -> Feature:
    """Conv2DTranspose; kernels are stored (height, width, out, in).

    SAME keeps stride · H of the (H − 1) · stride + kernel rows: the surplus is cut half at
    the top and half at the bottom, the odd row at the bottom (kernel 3, stride 2: the last).
    """
    (feature,) = inputs
    config = layer.config
    height, width = config["kernel_size"]
    filters, stride = int(config["filters"]), stride_of(layer)
    if config.get("output_padding") is not None or max(config.get("dilation_rate", (1, 1))) > 1:
        raise layer.unsupported("output padding or dilation")
    if config["padding"] not in ("same", "valid"):
        raise layer.unsupported(f"padding {config['padding']!r}")
    kernel = layer.weight("kernel", (height, width, filters, feature.channels))
    surplus = [length - stride for length in (height, width)]
    if config["padding"] == "valid":
        cut, extra = [0, 0, 0, 0], [max(0, -length) for length in surplus]
    else:
        before = [max(0, length) // 2 for length in surplus]
        after = [max(0, length) - first for length, first in zip(surplus, before, strict=True)]
        cut, extra = before + after, [max(0, -length) for length in surplus]
    value = graph.op(
        "ConvTranspose",
        feature.value,
        graph.constant(kernel.transpose(3, 2, 0, 1), FLOAT),
        *bias_of(graph, layer, filters),
        kernel_shape=[height, width],
        strides=[stride, stride],
        pads=cut,
        output_padding=extra,
    )
    return activation(graph, layer, Feature(value, filters, feature.stride / stride))


def pool(graph: GraphBuilder, layer: Layer, inputs: Sequence[Feature]) -> Feature:
    """MaxPooling2D and AveragePooling2D (padding does not count in the average)."""
    (feature,) = inputs
    size, stride = list(layer.config["pool_size"]), stride_of(layer)
    operator = {"MaxPooling2D": "MaxPool", "AveragePooling2D": "AveragePool"}[layer.class_name]
    value = graph.op(
        operator,
        feature.value,
        kernel_shape=size,
        strides=[stride, stride],
        **same_padding(layer, size, (stride, stride)),
    )
    return replace(feature, value=value, stride=feature.stride * stride)


def upsample(graph: GraphBuilder, layer: Layer, inputs: Sequence[Feature]) -> Feature:
    """UpSampling2D, nearest or bilinear with half-pixel centres."""
    (feature,) = inputs
    factor_y, factor_x = layer.config["size"]
    if factor_y != factor_x:
        raise layer.unsupported(f"size {layer.config['size']}")
    modes: dict[str, dict[str, Any]] = {
        "bilinear": {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
        "nearest": {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        },
    }
    interpolation = layer.config.get("interpolation", "nearest")
    if interpolation not in modes:
        raise layer.unsupported(f"interpolation {interpolation!r}")
    scales = graph.constant([1, 1, factor_y, factor_x], FLOAT)
    absent = Value(graph, "", FLOAT)
    value = graph.op("Resize", feature.value, absent, scales, **modes[interpolation])
    return replace(feature, value=value, stride=feature.stride / factor_y)


def concatenate(graph: GraphBuilder, layer: Layer, inputs: Sequence[Feature]) -> Feature:
    """Concatenate over channels."""
    if layer.config.get("axis", -1) not in (-1, 3):
        raise layer.unsupported(f"axis {layer.config['axis']}")
    counts = [feature.channels for feature in inputs]
    known = [count for count in counts if count is not None]
    channels = sum(known) if len(known) == len(counts) else None
    value = graph.concat([feature.value for feature in inputs], axis=1)
    return replace(inputs[0], value=value, channels=channels)


def add(graph: GraphBuilder, layer: Layer, inputs: Sequence[Feature]) -> Feature:
    """Add of two or more tensors of one shape."""
    value = inputs[0].value
    for feature in inputs[1:]:
        value = value + feature.value
    return replace(inputs[0], value=value)


def batch_normalization(graph: GraphBuilder, layer: Layer, inputs: Sequence[Feature]) -> Feature:
    """BatchNormalization as at inference: γ (x − mean) / √(variance + ε) + β."""
    (feature,) = inputs
    config, length = layer.config, (feature.channels,)
    if list(np.atleast_1d(config.get("axis", -1))) not in ([3], [-1]):
        raise layer.unsupported(f"axis {config['axis']}")
    mean = layer.weight("moving_mean", length)
    variance = layer.weight("moving_variance", length)
    gamma = layer.weight("gamma", length) if config.get("scale", True) else np.ones_like(mean)
    beta = layer.weight("beta", length) if config.get("center", True) else np.zeros_like(mean)
    parameters = [graph.constant(array, FLOAT) for array in (gamma, beta, mean, variance)]
    value = graph.op(
        "BatchNormalization", feature.value, *parameters, epsilon=float(config["epsilon"])
    )
    return replace(feature, value=value)


def global_pool(graph: GraphBuilder, layer: Layer, inputs: Sequence[Feature]) -> Feature:
    """GlobalMaxPooling2D and GlobalAveragePooling2D: [B, C, H, W] → [B, C]."""
    (feature,) = inputs
    operator = {
        "GlobalMaxPooling2D": "GlobalMaxPool",
        "GlobalAveragePooling2D": "GlobalAveragePool",
    }[layer.class_name]
    value = graph.op(operator, feature.value)
    if layer.config.get("keepdims"):
        return replace(feature, value=value)
    return replace(feature, value=value.squeeze(2, 3), is_map=False)


def flatten(graph: GraphBuilder, layer: Layer, inputs: Sequence[Feature]) -> Feature:
    """Flatten in Keras's order (rows, columns, channels): [B, C, H, W] → [B, H·W·C]."""
    (feature,) = inputs
    if not feature.is_map:
        return feature
    value = graph.op("Flatten", feature.value.transpose(0, 2, 3, 1), axis=1)
    return replace(feature, value=value, channels=None, is_map=False)


def dense(graph: GraphBuilder, layer: Layer, inputs: Sequence[Feature]) -> Feature:
    """Dense on vectors: x · kernel + bias."""
    (feature,) = inputs
    units = int(layer.config["units"])
    kernel = graph.constant(layer.weight("kernel", (feature.channels, units)), FLOAT)
    value = graph.op("Gemm", feature.value, kernel, *bias_of(graph, layer, units))
    return activation(graph, layer, replace(feature, value=value, channels=units))


def zero_padding(graph: GraphBuilder, layer: Layer, inputs: Sequence[Feature]) -> Feature:
    """ZeroPadding2D."""
    (feature,) = inputs
    (top, bottom), (left, right) = layer.config["padding"]
    value = feature.value.pad((0, 0, top, left), (0, 0, bottom, right))
    return replace(feature, value=value)


def identity(graph: GraphBuilder, layer: Layer, inputs: Sequence[Feature]) -> Feature:
    """Dropout and other layers that do nothing at inference."""
    return inputs[0]


def activation_layer(graph: GraphBuilder, layer: Layer, inputs: Sequence[Feature]) -> Feature:
    """Activation."""
    return activation(graph, layer, inputs[0])


def relu_layer(graph: GraphBuilder, layer: Layer, inputs: Sequence[Feature]) -> Feature:
    """ReLU, with its upper limit if it has one."""
    if layer.config.get("negative_slope") or layer.config.get("threshold"):
        raise layer.unsupported("slope or threshold")
    value = graph.op("Relu", inputs[0].value)
    limit = layer.config.get("max_value")
    return replace(inputs[0], value=value if limit is None else value.minimum(limit))


LAYER_FUNCTIONS: Mapping[str, LayerFunction] = {
    "Activation": activation_layer,
    "Add": add,
    "AveragePooling2D": pool,
    "BatchNormalization": batch_normalization,
    "Concatenate": concatenate,
    "Conv2D": conv,
    "Conv2DTranspose": conv_transpose,
    "Dense": dense,
    "Dropout": identity,
    "FixedDropout": identity,
    "Flatten": flatten,
    "GlobalAveragePooling2D": global_pool,
    "GlobalMaxPooling2D": global_pool,
    "MaxPooling2D": pool,
    "ReLU": relu_layer,
    "SpatialDropout2D": identity,
    "UpSampling2D": upsample,
    "ZeroPadding2D": zero_padding,
}
