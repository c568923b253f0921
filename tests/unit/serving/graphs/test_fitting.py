"""Frames of another size than training's are fitted to it, and the results fit the frames."""

import json
import shutil

import numpy as np
import pytest
import torch

from shoal_serving.graphs.fitting import _fit
from shoal_serving.importing import import_model
from tests.unit.serving.graphs.running import ServedModel, evaluate, read_gray_frames

SIZE = 384
"""Side of the frames that the models of `pair` were trained on."""
MODELS = {
    "bottomup": ["minimal_instance.UNet.bottomup"],
    "centered_instance": ["minimal_instance.UNet.centered_instance"],
    "topdown": ["minimal_instance.UNet.centroid", "minimal_instance.UNet.centered_instance"],
}


@pytest.fixture(scope="module")
def images(shared_data):
    return read_gray_frames(shared_data / "pair" / "centered_pair_small.mp4", [100, 103])


@pytest.fixture(scope="module")
def fitted_models(shared_data, tmp_path_factory):
    """Imports a model whose training has recorded the size of its frames."""
    workspace = tmp_path_factory.mktemp("fitted")

    def make(kind) -> ServedModel:
        if not (workspace / kind).exists():
            folders = [record_size(shared_data / "models" / m, workspace / m) for m in MODELS[kind]]
            import_model(folders, workspace / kind)
        return ServedModel(workspace / kind)

    return make


def record_size(source, folder):
    shutil.copytree(source, folder, dirs_exist_ok=True)
    path = folder / "training_config.json"
    path.chmod(0o644)
    config = json.loads(path.read_text())
    config["data"]["preprocessing"] |= {
        "resize_and_pad_to_target": True,
        "target_height": SIZE,
        "target_width": SIZE,
    }
    path.write_text(json.dumps(config))
    return folder


def request_of(kind, images, scale=1.0):
    request = {"images": images}
    if kind == "centered_instance":
        centroids = np.array([[122.5, 180.2], [242.1, 195.6]], np.float32)
        request["centroids"] = np.repeat(centroids[None] * np.float32(scale), len(images), axis=0)
    return request


def points_of(made):
    return made.get("instance_peaks", made.get("peaks"))


def run(model, request, composed):
    return model.run_composed(**request) if composed else model.run(**request)


@pytest.mark.parametrize("composed", [False, True])
@pytest.mark.parametrize("kind", MODELS)
def test_frames_of_trainings_size_are_left_as_they_are(
    served_models, fitted_models, images, kind, composed
):
    expected = run(served_models[kind], request_of(kind, images), composed)
    made = run(fitted_models(kind), request_of(kind, images), composed)
    assert set(made) == set(expected)
    for name, array in expected.items():
        assert np.array_equal(made[name], array, equal_nan=True), name


@pytest.mark.parametrize("composed", [False, True])
@pytest.mark.parametrize("kind", MODELS)
def test_a_larger_frame_is_scaled_down_and_its_points_up(fitted_models, images, kind, composed):
    """Of four equal pixels the mean is the pixel that training saw; the rest is padding."""
    model = fitted_models(kind)
    large = images.repeat(2, axis=1).repeat(2, axis=2)
    wide = np.concatenate([large[:, : 2 * SIZE - 64], np.zeros_like(large[:, :64])], axis=1)
    expected = run(model, request_of(kind, wide[:, ::2, ::2]), composed)
    made = run(model, request_of(kind, wide[:, : 2 * SIZE - 64], scale=2), composed)
    assert np.count_nonzero(~np.isnan(points_of(expected))) >= 8
    np.testing.assert_allclose(points_of(made), 2 * points_of(expected), atol=1e-3)


def test_a_smaller_frame_is_scaled_up_and_its_points_down(served_models, fitted_models, images):
    half = np.ascontiguousarray(images[:, ::2, ::2])
    enlarged, _ = evaluate(lambda value: _fit(value, (SIZE, SIZE)), half)
    expected = served_models["topdown"].run(images=enlarged)
    made = fitted_models("topdown").run(images=half)
    assert expected["instance_counts"].min() >= 1
    np.testing.assert_allclose(points_of(made), points_of(expected) / 2, rtol=1e-6)
    np.testing.assert_array_equal(made["instance_scores"], expected["instance_scores"])


@pytest.mark.parametrize(("height", "width"), [(96, 144), (60, 40), (24, 24), (50, 33)])
def test_sleap_nn_fits_with_antialiasing_to_the_nearest_size(height, width):
    images = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), np.uint8)
    made, scale = evaluate(lambda value: _fit(value, (48, 48), antialias=True), images)
    size = [round(length * 48 / max(height, width)) for length in (height, width)]
    planes = torch.from_numpy(np.moveaxis(images, -1, 1).astype(np.float32))
    expected = torch.nn.functional.interpolate(planes, size, mode="bilinear", antialias=True)
    assert made.shape == (2, 48, 48, 3)
    difference = np.moveaxis(made[:, : size[0], : size[1]], -1, 1) - expected.numpy()
    # Whole gray levels of both axes, one after the other.
    assert np.abs(difference).max() < 1.2
    assert not made[:, size[0] :].any()
    assert not made[:, :, size[1] :].any()
    np.testing.assert_allclose(scale, [48 / max(height, width)], rtol=1e-6)


@pytest.mark.parametrize(
    ("height", "width", "fitted_height", "fitted_width"),
    [
        *[(40, 60, 32, 48), (60, 40, 48, 32), (48, 48, 48, 48), (24, 24, 48, 48), (7, 48, 7, 48)],
        (2, 192, 1, 48),
    ],
)
def test_both_axes_are_scaled_alike_and_the_rest_is_zero(
    height, width, fitted_height, fitted_width
):
    bright = np.full((2, height, width, 3), 200, np.uint8)
    made, scale = evaluate(lambda value: _fit(value, (48, 48)), bright)
    assert made.shape == (2, 48, 48, 3)
    assert (made[:, :fitted_height, :fitted_width] == 200).all()
    assert not made[:, fitted_height:].any()
    assert not made[:, :, fitted_width:].any()
    np.testing.assert_allclose(scale, [min(48 / height, 48 / width)], rtol=1e-6)
