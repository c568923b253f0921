"""Keras layers that only ResNets and the pretrained encoders have, as ONNX nodes.

Conventions as in `keras_layers`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from shoal_serving.graphs.builder import FLOAT, INT64, GraphBuilder
from shoal_serving.importing.keras_layers import (
    Feature,
    Layer,
    LayerFunction,
    activation,
    bias_of,
    same_padding,
    stride_of,
)

BGR_MEANS = (103.939, 116.779, 123.68)
"""Mean pixels of the images that SLEAP's pretrained ResNets were trained on."""


def depthwise_conv(graph: GraphBuilder, layer: Layer, inputs: Sequence[Feature]) -> Feature:
    """DepthwiseConv2D: each channel has its own `depth_multiplier` kernels."""
    (feature,) = inputs
    height, width = layer.config["kernel_size"]
    multiplier, stride = int(layer.config.get("depth_multiplier", 1)), stride_of(layer)
    if max(layer.config.get("dilation_rate", (1, 1))) > 1:
        raise layer.unsupported("dilation")
    kernel = layer.weight("depthwise_kernel", (height, width, feature.channels, multiplier))
    groups = kernel.shape[2]
    filters = groups * multiplier
    value = graph.op(
        "Conv",
        feature.value,
        graph.constant(kernel.transpose(2, 3, 0, 1).reshape(filters, 1, height, width), FLOAT),
        *bias_of(graph, layer, filters),
        kernel_shape=[height, width],
        strides=[stride, stride],
        group=groups,
        **same_padding(layer, (height, width), (stride, stride)),
    )
    return activation(graph, layer, Feature(value, filters, feature.stride * stride))


def multiply(graph: GraphBuilder, layer: Layer, inputs: Sequence[Feature]) -> Feature:
    """Multiply, for example of a map [B, C, H, W] with weights of its channels [B, C, 1, 1]."""
    value = inputs[0].value
    for feature in inputs[1:]:
        value = value * feature.value
    return replace(inputs[0], value=value)


def reshape(graph: GraphBuilder, layer: Layer, inputs: Sequence[Feature]) -> Feature:
    """Reshape of a vector [B, C] to a map of one pixel [B, C, 1, 1]."""
    (feature,) = inputs
    if feature.is_map or list(layer.config["target_shape"][:2]) != [1, 1]:
        raise layer.unsupported(f"target shape {layer.config['target_shape']}")
    return replace(feature, value=feature.value.unsqueeze(2, 3), is_map=True)


def known_function(graph: GraphBuilder, layer: Layer, inputs: Sequence[Feature]) -> Feature:
    """Lambda, where it is one of SLEAP's own, which are known by their name.

    The file holds the function as Python bytecode; that is never run.
    """
    feature = inputs[0]
    match layer.name:
        case "tile_channels" | "ensure_rgb":
            if feature.channels == 3:
                return feature
            value = graph.concat([feature.value] * 3, axis=1)
            return replace(feature, value=value, channels=3)
        case "imagenet_preproc_v1":
            pixels_bgr = (feature.value * 255.0).gather(graph.constant([2, 1, 0], INT64), axis=1)
            means = graph.constant(BGR_MEANS, FLOAT).reshape(1, 3, 1, 1)
            return replace(feature, value=pixels_bgr - means)
        case _:
            raise layer.unsupported("a function that is not SLEAP's own")


ENCODER_LAYER_FUNCTIONS: Mapping[str, LayerFunction] = {
    "DepthwiseConv2D": depthwise_conv,
    "Lambda": known_function,
    "Multiply": multiply,
    "Reshape": reshape,
}
