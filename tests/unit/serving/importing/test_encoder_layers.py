"""Layers of ResNets and pretrained encoders compute what Keras computes."""

import numpy as np
import pytest

from shoal_core.errors import InvalidArgument
from shoal_serving.importing.keras_graph import read_keras_body
from tests.unit.serving.importing import numpy_keras
from tests.unit.serving.importing.keras_files import CONV, image_input, layer, write_model
from tests.unit.serving.importing.test_networks import kernel, run_body


def image(channels, height=13, width=10):
    return np.random.default_rng(1).normal(0, 1, (2, height, width, channels)).astype(np.float32)


def assert_equals_numpy(folder, image_BHWC, tolerance=1e-5):
    expected = numpy_keras.forward(folder, image_BHWC)
    made = run_body(read_keras_body(folder), np.ascontiguousarray(np.moveaxis(image_BHWC, -1, 1)))
    assert set(made) == set(expected)
    for name, maps in expected.items():
        np.testing.assert_allclose(np.moveaxis(made[name], 1, -1), maps, atol=tolerance)


@pytest.mark.parametrize(("multiplier", "stride", "padding"), [(1, 1, "same"), (2, 2, "same")])
def test_depthwise_convolutions(tmp_path, multiplier, stride, padding):
    config = {**CONV, "depth_multiplier": multiplier, "strides": [stride, stride]}
    config |= {"padding": padding, "activation": "swish"}
    weights = {"depthwise_kernel": kernel(3, 3, 3, multiplier), "bias": kernel(3 * multiplier)}
    layers = [image_input(3), layer("DepthwiseConv2D", "depthwise", ["input"], **config)]
    folder = write_model(tmp_path, layers, ["depthwise"], {"depthwise": weights})
    assert_equals_numpy(folder, image(3))
    (head,) = read_keras_body(folder).heads
    assert (head.channels, head.stride) == (3 * multiplier, stride)


def test_channels_weighted_by_their_mean(tmp_path):
    """Squeeze and excitation: pool, a map of one pixel, a convolution of it, product."""
    config = {**CONV, "kernel_size": [1, 1], "filters": 3, "activation": "sigmoid"}
    layers = [
        image_input(3),
        layer("GlobalAveragePooling2D", "squeeze", ["input"]),
        layer("Reshape", "pixel", ["squeeze"], target_shape=[1, 1, 3]),
        layer("Conv2D", "excite", ["pixel"], **config),
        layer("Multiply", "product", ["input", "excite"]),
        layer("FixedDropout", "drop", ["product"], rate=0.2),
        layer("Conv2D", "head", ["drop"], **config),
    ]
    convs = {"kernel": kernel(1, 1, 3, 3), "bias": kernel(3)}
    folder = write_model(tmp_path, layers, ["head"], {"excite": convs, "head": convs})
    assert_equals_numpy(folder, image(3))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("tile", ["tile_channels", "ensure_rgb"])
def test_functions_of_sleap_are_known_by_name_and_not_run(tmp_path, channels, tile):
    layers = [
        image_input(channels),
        layer("Lambda", tile, ["input"], function=["no bytecode", None, None]),
        layer("Lambda", "imagenet_preproc_v1", [tile], function=["no bytecode", None, None]),
    ]
    folder = write_model(tmp_path, layers, ["imagenet_preproc_v1"], {})
    assert_equals_numpy(folder, image(channels), tolerance=1e-3)
    assert read_keras_body(folder).channels == channels


@pytest.mark.parametrize("inputs", [["input"], ["input", "input"]])
def test_functions_of_others_are_refused(tmp_path, inputs):
    layers = [image_input(3), layer("Lambda", "lambda_7", inputs, function=["code", None, None])]
    folder = write_model(tmp_path, layers, ["lambda_7"], {})
    with pytest.raises(InvalidArgument, match=r"'lambda_7' \(Lambda\) with a function") as caught:
        read_keras_body(folder)
    assert caught.value.reason == "MODEL_KIND_UNSUPPORTED"


def encoder(source):
    """A graph within the graph, with two outputs and names that hold a slash."""
    config = {**CONV, "filters": 3, "strides": [2, 2]}
    inner = {
        "layers": [
            layer("InputLayer", "data", [], batch_input_shape=[None, None, None, 3]),
            layer("Conv2D", "conv", ["data"], **config),
            layer("Conv2D", "block/conv", ["conv"], **config),
        ],
        "input_layers": [["data", 0, 0]],
        "output_layers": [["conv", 0, 0], ["block/conv", 0, 0]],
    }
    return layer("Functional", "encoder", [source], **inner)


def test_an_encoder_is_a_graph_within_the_graph(tmp_path):
    heads = layer("Conv2D", "head", ["encoder"], **{**CONV, "filters": 2})
    # SLEAP uses the second call of the encoder, and its last output.
    heads["inbound_nodes"] = [[["encoder", 1, 1, {}]]]
    layers = [image_input(3), encoder("input"), heads]
    weights = {
        "head": {"kernel": kernel(3, 3, 3, 2), "bias": kernel(2)},
        "encoder": {
            f"{name}/{key}": array
            for name, scale in (("conv", 1), ("block/conv", 2))
            for key, array in (("kernel", kernel(3, 3, 3, 3) * scale), ("bias", kernel(3)))
        },
    }
    folder = write_model(tmp_path, layers, ["head"], weights)
    assert_equals_numpy(folder, image(3))
    body = read_keras_body(folder)
    assert (body.heads[0].stride, body.max_stride) == (4, 4)
