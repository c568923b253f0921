"""A Keras network in plain NumPy, written from the Keras configuration alone.

Shares nothing with the importer: arrays are [B, H, W, C] in float64, padding is worked out
from TensorFlow's rule for SAME, and every layer is a loop over kernel positions.
"""

import json
from pathlib import Path

import h5py
import numpy as np


def load(folder: Path):
    """Returns the layers' configuration, the outputs' names and the weights by layer."""
    weights: dict[str, dict[str, np.ndarray]] = {}
    with h5py.File(folder / "best_model.h5") as file:
        config = json.loads(file.attrs["model_config"])["config"]
        for layer, group in file["model_weights"].items():
            for raw in group.attrs["weight_names"]:
                name = raw.decode() if isinstance(raw, bytes) else raw
                inner, _, key = name.removesuffix(":0").rpartition("/")
                array = group[name][()].astype(np.float64)
                weights.setdefault(layer, {})[key] = array
                weights.setdefault(f"{layer}/{inner}", {})[key] = array
    return config, weights


def forward(folder: Path, image_BHWC: np.ndarray) -> dict[str, np.ndarray]:
    """Returns every output of the network by the name of its layer."""
    config, weights = load(folder)
    made = run_graph(config, weights, "", image_BHWC.astype(np.float64))
    return dict(zip([output[0] for output in config["output_layers"]], made, strict=True))


def run_graph(config, weights, prefix, image):
    """Returns the outputs of a graph with one input; a layer may be a graph itself."""
    values = {}
    for record in config["layers"]:
        settings = record["config"]
        name = settings["name"]
        if record["class_name"] == "InputLayer":
            values[name] = [image]
            continue
        inputs = [values[source[0]][source[2]] for source in record["inbound_nodes"][0]]
        if record["class_name"] == "Functional":
            values[name] = run_graph(settings, weights, f"{name}/", *inputs)
        else:
            layer = LAYERS[record["class_name"]]
            values[name] = [layer(inputs, settings, weights.get(prefix + name, {}))]
    return [values[output[0]][output[2]] for output in config["output_layers"]]


def same_pads(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def pads_of(x, kernel, strides, padding):
    if padding == "valid":
        return (0, 0), (0, 0)
    return same_pads(x.shape[1], kernel[0], strides[0]), same_pads(
        x.shape[2], kernel[1], strides[1]
    )


def activate(x, name):
    match name:
        case "linear":
            return x
        case "relu":
            return np.where(x > 0, x, 0)
        case "sigmoid":
            return 1 / (1 + np.exp(-x))
        case "swish":
            return x / (1 + np.exp(-x))
        case "tanh":
            return np.tanh(x)
        case "softmax":
            powers = np.exp(x - x.max(-1, keepdims=True))
            return powers / powers.sum(-1, keepdims=True)
    raise AssertionError(name)


def windows(x, kernel, strides, dilation=(1, 1)):
    """Yields (row, column, view) for each kernel position; x is padded already."""
    rows = (x.shape[1] - (kernel[0] - 1) * dilation[0] - 1) // strides[0] + 1
    columns = (x.shape[2] - (kernel[1] - 1) * dilation[1] - 1) // strides[1] + 1
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            top, left = i * dilation[0], j * dilation[1]
            bottom = top + (rows - 1) * strides[0] + 1
            right = left + (columns - 1) * strides[1] + 1
            yield i, j, x[:, top : bottom : strides[0], left : right : strides[1]]


def conv(inputs, settings, weights):
    (x,) = inputs
    kernel, dilation = weights["kernel"], settings["dilation_rate"]
    reach = [(n - 1) * d + 1 for n, d in zip(settings["kernel_size"], dilation, strict=True)]
    padded = np.pad(
        x, ((0, 0), *pads_of(x, reach, settings["strides"], settings["padding"]), (0, 0))
    )
    y = 0
    for i, j, view in windows(padded, settings["kernel_size"], settings["strides"], dilation):
        y = y + view @ kernel[i, j]
    return activate(y + weights.get("bias", 0), settings["activation"])


def depthwise_conv(inputs, settings, weights):
    (x,) = inputs
    kernel, size, strides = (
        weights["depthwise_kernel"],
        settings["kernel_size"],
        settings["strides"],
    )
    padded = np.pad(x, ((0, 0), *pads_of(x, size, strides, settings["padding"]), (0, 0)))
    y = 0
    for i, j, view in windows(padded, size, strides):
        y = y + (view[..., None] * kernel[i, j]).reshape(*view.shape[:3], -1)
    return activate(y + weights.get("bias", 0), settings["activation"])


def sleap_function(inputs, settings, weights):
    (x,) = inputs
    if settings["name"] == "imagenet_preproc_v1":
        return x[..., ::-1] * 255 - np.array([103.939, 116.779, 123.68])
    return x if x.shape[3] == 3 else np.tile(x, 3)


def conv_transpose(inputs, settings, weights):
    """The gradient of the SAME convolution that maps the output's size to the input's."""
    (x,) = inputs
    kernel, (stride, _) = weights["kernel"], settings["strides"]  # (height, width, out, in)
    batch, height, width, _ = x.shape
    size = kernel.shape[0]
    full = np.zeros(
        (batch, (height - 1) * stride + size, (width - 1) * stride + size, kernel.shape[2])
    )
    for i in range(size):
        for j in range(size):
            full[:, i : i + stride * height : stride, j : j + stride * width : stride][
                :, :height, :width
            ] += x @ kernel[i, j].T
    before, _ = same_pads(height * stride, size, stride)
    y = full[:, before : before + height * stride, before : before + width * stride]
    missing = [(0, height * stride - y.shape[1]), (0, width * stride - y.shape[2])]
    y = np.pad(y, ((0, 0), *missing, (0, 0)))
    return activate(y + weights.get("bias", 0), settings["activation"])


def max_pool(inputs, settings, weights):
    (x,) = inputs
    pads = pads_of(x, settings["pool_size"], settings["strides"], settings["padding"])
    padded = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=-np.inf)
    views = windows(padded, settings["pool_size"], settings["strides"])
    return np.max([view for _, _, view in views], axis=0)


def average_pool(inputs, settings, weights):
    (x,) = inputs
    pads = ((0, 0), *pads_of(x, settings["pool_size"], settings["strides"], settings["padding"]))
    ones = np.ones_like(x)
    total, count = (
        np.sum(
            [
                view
                for _, _, view in windows(
                    np.pad(array, (*pads, (0, 0))), settings["pool_size"], settings["strides"]
                )
            ],
            axis=0,
        )
        for array in (x, ones)
    )
    return total / count


def resize_axis(x, axis, factor):
    """Bilinear along one axis, half-pixel centres, edges repeated."""
    length = x.shape[axis]
    at = (np.arange(length * factor) + 0.5) / factor - 0.5
    low = np.floor(at).astype(int)
    fraction = (at - low).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
    near = np.take(x, low.clip(0, length - 1), axis)
    far = np.take(x, (low + 1).clip(0, length - 1), axis)
    return near * (1 - fraction) + far * fraction


def upsample(inputs, settings, weights):
    (x,) = inputs
    factor = settings["size"][0]
    if settings["interpolation"] == "nearest":
        return x.repeat(factor, axis=1).repeat(factor, axis=2)
    return resize_axis(resize_axis(x, 1, factor), 2, factor)


def batch_normalization(inputs, settings, weights):
    scale = weights.get("gamma", 1) / np.sqrt(weights["moving_variance"] + settings["epsilon"])
    return (inputs[0] - weights["moving_mean"]) * scale + weights.get("beta", 0)


def dense(inputs, settings, weights):
    y = inputs[0] @ weights["kernel"] + weights.get("bias", 0)
    return activate(y, settings["activation"])


def zero_padding(inputs, settings, weights):
    return np.pad(inputs[0], ((0, 0), *settings["padding"], (0, 0)))


LAYERS = {
    "Activation": lambda inputs, settings, weights: activate(inputs[0], settings["activation"]),
    "Add": lambda inputs, settings, weights: sum(inputs),
    "AveragePooling2D": average_pool,
    "BatchNormalization": batch_normalization,
    "Concatenate": lambda inputs, settings, weights: np.concatenate(inputs, axis=-1),
    "Conv2D": conv,
    "Conv2DTranspose": conv_transpose,
    "Dense": dense,
    "DepthwiseConv2D": depthwise_conv,
    "Dropout": lambda inputs, settings, weights: inputs[0],
    "FixedDropout": lambda inputs, settings, weights: inputs[0],
    "Flatten": lambda inputs, settings, weights: inputs[0].reshape(len(inputs[0]), -1),
    "GlobalAveragePooling2D": lambda inputs, settings, weights: inputs[0].mean((1, 2)),
    "GlobalMaxPooling2D": lambda inputs, settings, weights: inputs[0].max((1, 2)),
    "Lambda": sleap_function,
    "MaxPooling2D": max_pool,
    "Multiply": lambda inputs, settings, weights: np.prod(np.broadcast_arrays(*inputs), axis=0),
    "ReLU": lambda inputs, settings, weights: inputs[0].clip(0, settings["max_value"]),
    "Reshape": lambda inputs, settings, weights: inputs[0].reshape(-1, *settings["target_shape"]),
    "UpSampling2D": upsample,
    "ZeroPadding2D": zero_padding,
}
