"""The encoder of "Swin Transformer" (arXiv 2103.14030): attention inside shifted windows.

Axis legend: B images, H W pixels, C channels, w side of a window, N = w² pixels of one,
L windows of an image, h heads of the attention, d channels of a head.
"""

import math

import numpy as np
from numpy.typing import NDArray

from shoal_serving.importing.torch_layers import Feature, TorchLayers
from shoal_serving.importing.torch_patches import STAGES
from shoal_serving.importing.torch_windows import Windows

_EPSILON = 1e-5


def encode_swin(
    layers: TorchLayers, name: str, image: Feature, patch_stride: int
) -> tuple[Feature, list[Feature]]:
    """Returns the encoder's last feature, and what each stage begins with.

    Every second block of a stage shifts its windows by half of their side. Between stages,
    the channels of 2×2 pixels become those of one.
    """
    features = f"{name}.features"
    feature = layers.patches(f"{features}.0.0", image, patch_stride, 1)
    feature = layers.normalized(f"{features}.0.2", feature, _EPSILON)
    starts = [feature]
    for stage in range(STAGES):
        if stage:
            feature = _merge(layers, f"{features}.{2 * stage}", feature)
            starts.append(feature)
        block = 0
        while f"{features}.{2 * stage + 1}.{block}.norm1.weight" in layers.tensors:
            shifted = block % 2 == 1
            feature = _block(layers, f"{features}.{2 * stage + 1}.{block}", feature, shifted)
            block += 1
    return layers.normalized(f"{name}.norm", feature, _EPSILON), starts


def _merge(layers: TorchLayers, name: str, feature: Feature) -> Feature:
    """Returns the map at half the size; pixels of a square in the order of columns, then rows."""
    value, channels = feature.value, feature.channels
    height, width = value.length(2) / 2, value.length(3) / 2
    squares = value.reshape(-1, channels, height, 2, width, 2).transpose(0, 5, 3, 1, 2, 4)
    stacked = squares.reshape(-1, 4 * channels, height, width)
    joined = layers.normalized(f"{name}.norm", Feature(stacked, 4 * channels), _EPSILON)
    return layers.pointwise(f"{name}.reduction", joined, has_bias=False)


def _block(layers: TorchLayers, name: str, feature: Feature, shifted: bool) -> Feature:
    normal = layers.normalized(f"{name}.norm1", feature, _EPSILON)
    attended = _attention(layers, f"{name}.attn", normal, shifted)
    feature = Feature(feature.value + attended.value, feature.channels)
    inner = layers.normalized(f"{name}.norm2", feature, _EPSILON)
    inner = layers.gelu(layers.pointwise(f"{name}.mlp.0", inner))
    inner = layers.pointwise(f"{name}.mlp.3", inner)
    return Feature(feature.value + inner.value, feature.channels)


def _attention(layers: TorchLayers, name: str, feature: Feature, shifted: bool) -> Feature:
    """Returns what each pixel gathers from its window."""
    graph, channels = layers.graph, feature.channels
    bias_hNN, side = _position_bias(layers, name, channels)
    heads, count = len(bias_hNN), side * side
    windows = Windows(graph, feature.value, side, shifted)
    # The padding takes part, and is the bias alone after this layer.
    padded = Feature(windows.pad(feature.value), channels)
    made = windows.cut(layers.pointwise(f"{name}.qkv", padded).value)
    parts = made.reshape(-1, count, 3, heads, channels // heads).transpose(2, 0, 3, 1, 4)
    query, key, value = (parts.slice(0, i, i + 1).squeeze(0) for i in range(3))
    scores = graph.op("MatMul", query * (channels // heads) ** -0.5, key.transpose(0, 1, 3, 2))
    scores = scores + bias_hNN
    if shifted:
        by_image = scores.reshape(-1, windows.count, heads, count, count)
        scores = (by_image + windows.outside()).reshape(-1, heads, count, count)
    gathered = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), value)
    pixels = gathered.transpose(0, 2, 1, 3).reshape(-1, side, side, channels)
    return layers.pointwise(f"{name}.proj", Feature(windows.join(pixels), channels))


def _position_bias(
    layers: TorchLayers, name: str, channels: int
) -> tuple[NDArray[np.float32], int]:
    """Returns what is added between two pixels of a window [h, N, N], and its side."""
    table = layers.tensors.take(f"{name}.relative_position_bias_table", (None, None))
    reach, heads = table.shape
    side = (math.isqrt(reach) + 1) // 2
    if (2 * side - 1) ** 2 != reach or channels % heads:
        raise layers.tensors.mismatch(
            f"holds {name} with {reach} biases of {heads} heads, which no square window has"
        )
    layers.tensors.take(f"{name}.relative_position_index", (side**4,))
    rows, columns = np.divmod(np.arange(side * side), side)
    down, right = (place[:, None] - place + side - 1 for place in (rows, columns))
    bias: NDArray[np.float32] = table[down * (2 * side - 1) + right].transpose(2, 0, 1)
    return bias, side
