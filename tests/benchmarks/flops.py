"""Floating point operations of a network, counted from its ONNX file."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import shape_inference

_CONVOLUTIONS = ("Conv", "ConvTranspose")
_PRODUCTS = ("MatMul", "Gemm")


def network_flops(path: Path, shape: tuple[int, ...]) -> float:
    """Returns the operations of one pass: two for each product that is added to a sum.

    Convolutions and matrix products; what else there is costs little.

    Args:
        path: An ONNX file of one input.
        shape: The input's shape.
    """
    model = onnx.load(path)
    for axis, length in zip(model.graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
        axis.dim_value = length
    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {
        value.name: tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
        for value in (*inferred.input, *inferred.value_info, *inferred.output)
    }
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}
    return float(sum(_node_flops(node, shapes) for node in inferred.node))


def _node_flops(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int:
    if node.op_type in _CONVOLUTIONS:
        weights = shapes[node.input[1]]
        # Each input (transposed) or output pixel meets every weight once.
        pixels = shapes[node.input[0] if node.op_type == "ConvTranspose" else node.output[0]]
        return 2 * pixels[0] * int(np.prod(pixels[2:])) * int(np.prod(weights))
    if node.op_type in _PRODUCTS:
        return 2 * int(np.prod(shapes[node.output[0]])) * shapes[node.input[0]][-1]
    return 0
