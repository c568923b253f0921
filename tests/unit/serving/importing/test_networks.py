"""Imported networks compute what Keras computes."""

import h5py
import numpy as np
import pytest

from shoal_serving.graphs.builder import FLOAT, GraphBuilder
from shoal_serving.importing.keras_graph import read_keras_body
from tests.unit.serving.graphs.running import UNKNOWN_SHAPE, session
from tests.unit.serving.importing import numpy_keras
from tests.unit.serving.importing.keras_files import CONV, image_input, layer, write_model

MODELS = [
    "minimal_robot.UNet.single_instance",
    "minimal_instance.UNet.centroid",
    "minimal_instance.UNet.centered_instance",
    "minimal_instance.UNet.bottomup",
    "min_tracks_2node.UNet.bottomup_multiclass",
]
TOLERANCE = 1e-5
# The last layers of this model hold values up to 44 that cancel to maps of at most 0.09, so
# float32 rounding alone reaches 1e-5: the stored output is 1.11e-5 from float64, and TensorFlow
# 2.15 elsewhere is 2.0e-5 from it. No way of summing that was tried comes below 1.2e-5.
CANCELLING = {"min_tracks_2node.UNet.bottomup_multiclass/MultiInstanceConfmapsHead_0": 2e-5}


def run_body(body, image_BCHW):
    graph = GraphBuilder("body")
    outputs = body.emit(graph, graph.input("input", FLOAT, ("B", body.channels, "H", "W")))
    for name, value in outputs.items():
        graph.output(name, value, UNKNOWN_SHAPE)
    made = session(graph.model().SerializeToString()).run(None, {"input": image_BCHW})
    return dict(zip(outputs, made, strict=True))


def channels_last(array):
    return np.moveaxis(array, 1, -1)


@pytest.mark.parametrize("model", MODELS)
def test_heads_of_the_zero_input_equal_those_of_the_original(shared_data, model):
    folder = shared_data / "models" / model
    body = read_keras_body(folder)
    with h5py.File(folder / "keras_activations.h5") as file:
        expected = {head.name: file[head.name][()] for head in body.heads}
    head = body.heads[0]
    height, width = (length * head.stride for length in expected[head.name].shape[1:3])
    made = run_body(body, np.zeros((1, body.channels, height, width), np.float32))
    for name, maps in expected.items():
        tolerance = CANCELLING.get(f"{model}/{name}", TOLERANCE)
        np.testing.assert_allclose(channels_last(made[name]), maps, rtol=0, atol=tolerance)
        assert np.mean(np.abs(channels_last(made[name]) - maps) > TOLERANCE) < 0.01


@pytest.mark.parametrize("model", MODELS)
def test_heads_of_a_random_image_equal_an_independent_forward_pass(shared_data, model):
    folder = shared_data / "models" / model
    body = read_keras_body(folder)
    pixels = np.random.default_rng(3).integers(0, 256, (2, 64, 96, body.channels), np.uint8)
    image_BHWC = pixels.astype(np.float32) / 255
    expected = numpy_keras.forward(folder, image_BHWC)
    made = run_body(body, np.ascontiguousarray(np.moveaxis(image_BHWC, -1, 1)))
    assert set(made) == set(expected)
    for name, maps in expected.items():
        tolerance = CANCELLING.get(f"{model}/{name}", TOLERANCE)
        np.testing.assert_allclose(channels_last(made[name]), maps, rtol=0, atol=tolerance)


def kernel(*shape):
    return np.random.default_rng(len(shape)).normal(0, 0.3, shape)


def normalization(channels):
    rng = np.random.default_rng(5)
    return {
        "gamma": rng.uniform(0.5, 2, channels),
        "beta": rng.normal(size=channels),
        "moving_mean": rng.normal(size=channels),
        "moving_variance": rng.uniform(0.1, 2, channels),
    }


def conv_case(**changes):
    config = {**CONV, "filters": 4, **changes}
    height, width = config["kernel_size"]
    return [
        ("Conv2D", config, {"kernel": kernel(height, width, 3, 4), "bias": kernel(4)}),
    ]


def transpose_case(size, stride):
    config = {**CONV, "filters": 5, "kernel_size": [size, size], "strides": [stride, stride]}
    weights = {"kernel": kernel(size, size, 5, 3), "bias": kernel(5)}
    return [("Conv2DTranspose", config, weights)]


def pool_case(class_name, size, stride, padding):
    config = {"pool_size": [size, size], "strides": [stride, stride], "padding": padding}
    return [(class_name, config, {})]


CASES = {
    "conv": conv_case(),
    "conv, strided": conv_case(strides=[2, 2]),
    "conv, strided by more than its kernel": conv_case(kernel_size=[1, 1], strides=[2, 2]),
    "conv, strided, kernel 7": conv_case(kernel_size=[7, 7], strides=[2, 2]),
    "conv, even kernel": conv_case(kernel_size=[2, 4]),
    "conv, dilated": conv_case(dilation_rate=[2, 2]),
    "conv, valid": conv_case(padding="valid", activation="relu"),
    "conv, softmax": conv_case(activation="softmax"),
    "conv, tanh": conv_case(activation="tanh"),
    "transposed, kernel 3": transpose_case(3, 2),
    "transposed, kernel 4": transpose_case(4, 2),
    "transposed, kernel 2": transpose_case(2, 2),
    "transposed, kernel 1": transpose_case(1, 2),
    "transposed, kernel 5": transpose_case(5, 2),
    "max pool": pool_case("MaxPooling2D", 2, 2, "same"),
    "max pool, overlapping": pool_case("MaxPooling2D", 3, 2, "same"),
    "max pool, stride 1": pool_case("MaxPooling2D", 2, 1, "same"),
    "max pool, valid": pool_case("MaxPooling2D", 2, 2, "valid"),
    "average pool": pool_case("AveragePooling2D", 3, 2, "same"),
    "upsampling, nearest": [("UpSampling2D", {"size": [2, 2], "interpolation": "nearest"}, {})],
    "upsampling, bilinear": [("UpSampling2D", {"size": [2, 2], "interpolation": "bilinear"}, {})],
    "upsampling, fourfold": [("UpSampling2D", {"size": [4, 4], "interpolation": "bilinear"}, {})],
    "normalization": [("BatchNormalization", {"axis": [3], "epsilon": 1e-3}, normalization(3))],
    "zero padding": [("ZeroPadding2D", {"padding": [[1, 2], [3, 0]]}, {})],
    "limited relu": [("ReLU", {"max_value": 0.5}, {})],
    "class vectors": [
        ("GlobalMaxPooling2D", {}, {}),
        (
            "Dense",
            {"units": 6, "activation": "relu"},
            {"kernel": kernel(3, 6), "bias": kernel(6)},
        ),
        ("Dropout", {"rate": 0.5}, {}),
        (
            "Dense",
            {"units": 2, "activation": "softmax"},
            {"kernel": kernel(6, 2), "bias": kernel(2)},
        ),
    ],
    "average vectors": [("GlobalAveragePooling2D", {}, {})],
    "flattened": [
        ("Flatten", {}, {}),
        ("Dense", {"units": 3, "activation": "sigmoid"}, {"kernel": kernel(13 * 10 * 3, 3)}),
    ],
}
CASES["flattened"][1][1]["use_bias"] = False


@pytest.mark.parametrize("case", CASES)
def test_every_layer_equals_an_independent_forward_pass(tmp_path, case):
    """On a size that no stride divides, so that the side of the padding shows."""
    layers, weights, previous = [image_input(3)], {}, "input"
    for index, (class_name, config, arrays) in enumerate(CASES[case]):
        name = f"layer{index}"
        layers.append(layer(class_name, name, [previous], **config))
        weights[name] = arrays
        previous = name
    folder = write_model(tmp_path, layers, [previous], weights)
    image_BHWC = np.random.default_rng(1).normal(0, 1, (2, 13, 10, 3)).astype(np.float32)
    expected = numpy_keras.forward(folder, image_BHWC)[previous]
    body = read_keras_body(folder)
    made = run_body(body, np.ascontiguousarray(np.moveaxis(image_BHWC, -1, 1)))[previous]
    np.testing.assert_allclose(np.moveaxis(made, 1, -1), expected, rtol=1e-5, atol=1e-5)


def test_branches_are_joined_by_concatenation_and_sum(tmp_path):
    config = {**CONV, "filters": 3}
    weights = {name: {"kernel": kernel(3, 3, 3, 3), "bias": kernel(3)} for name in ("a", "b")}
    layers = [
        image_input(3),
        layer("Conv2D", "a", ["input"], **config),
        layer("Conv2D", "b", ["a"], **config),
        layer("Add", "sum", ["a", "b", "input"]),
        layer("Concatenate", "both", ["sum", "b"], axis=-1),
    ]
    folder = write_model(tmp_path, layers, ["both", "a"], weights)
    image_BHWC = np.random.default_rng(1).normal(0, 1, (1, 8, 8, 3)).astype(np.float32)
    expected = numpy_keras.forward(folder, image_BHWC)
    body = read_keras_body(folder)
    made = run_body(body, np.ascontiguousarray(np.moveaxis(image_BHWC, -1, 1)))
    assert [(head.name, head.channels) for head in body.heads] == [("both", 6), ("a", 3)]
    for name, maps in expected.items():
        np.testing.assert_allclose(channels_last(made[name]), maps, rtol=1e-5, atol=1e-5)


def test_of_several_stacks_the_first_is_used(tmp_path):
    """SLEAP names the heads of the stacks _0, _1 … but trains and uses only the first."""
    config, weights = {**CONV, "filters": 3}, {"kernel": kernel(3, 3, 3, 3), "bias": kernel(3)}
    names = [f"SingleInstanceConfmapsHead_{stack}" for stack in range(2)]
    layers = [
        image_input(3),
        layer("Conv2D", names[0], ["input"], **config),
        layer("Conv2D", names[1], [names[0]], **config),
    ]
    folder = write_model(tmp_path, layers, names, dict.fromkeys(names, weights))
    head = read_keras_body(folder).find("SingleInstanceConfmapsHead")
    assert head is not None
    assert head.name == names[0]


def test_strides_follow_from_the_layers(shared_data):
    body = read_keras_body(shared_data / "models" / "minimal_instance.UNet.bottomup")
    assert {head.name.split("Head")[0]: head.stride for head in body.heads} == {
        "MultiInstanceConfmaps": 2,
        "PartAffinityFields": 4,
        "OffsetRefinement": 2,
    }
    assert (body.channels, body.max_stride) == (1, 8)


def test_a_batch_without_images_passes(shared_data):
    body = read_keras_body(shared_data / "models" / "minimal_instance.UNet.centered_instance")
    made = run_body(body, np.zeros((0, 1, 96, 96), np.float32))
    assert made["CenteredInstanceConfmapsHead_0"].shape == (0, 2, 48, 48)
