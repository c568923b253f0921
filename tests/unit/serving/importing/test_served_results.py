"""A served result is the network's forward pass in torch followed by shoal_core."""

import json
import shutil

import numpy as np
import pytest

from shoal_core import coordinates
from shoal_serving.importing import import_model
from tests.unit.serving.graphs.running import ServedModel, read_gray_frames
from tests.unit.serving.importing import numpy_keras, torch_keras
from tests.unit.serving.importing.class_vectors import graft_class_vectors

TOLERANCE_PX = 0.1


@pytest.fixture(scope="module")
def pair_frames(shared_data):
    return read_gray_frames(shared_data / "pair" / "centered_pair_small.mp4", [100, 500])


@pytest.fixture(scope="module")
def large_frame(pair_frames):
    """1536 × 2048 pixels with animals cut out of a real frame and blobs, all beyond 1,000 px."""
    rng = np.random.default_rng(0)
    frame = np.full((1536, 2048), np.median(pair_frames), np.float64)
    y, x = np.mgrid[:1536, :2048]
    for _ in range(6):
        cx, cy, reach = rng.uniform((1050, 1050, 8), (2000, 1480, 25))
        frame -= 90 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * reach**2))
    frame[1110:1494, 1600:1984] = pair_frames[0, :, :, 0]
    return frame.clip(0, 255).round().astype(np.uint8)[None, :, :, None]


@pytest.fixture(params=["pair_frames", "large_frame"])
def images(request):
    return request.getfixturevalue(request.param)


def test_bottomup(served_models, images):
    model = served_models["bottomup"]
    (folder,) = served_models.sources("bottomup")
    maps, expected = torch_keras.find_parts(folder, images)
    made = model.run(images=images)
    assert expected.peak_counts_BN.sum() > 2
    assert np.array_equal(made["peak_counts"], expected.peak_counts_BN)
    np.testing.assert_allclose(made["peaks"], expected.peaks_BNP2, atol=TOLERANCE_PX)
    np.testing.assert_allclose(made["peak_values"], expected.peak_values_BNP, atol=1e-4)
    scores = torch_keras.line_scores(maps, expected.peaks_BNP2, model.contract.skeleton.edges)
    np.testing.assert_allclose(made["edge_scores"], scores, atol=1e-3)


def test_topdown(served_models, images):
    model = served_models["topdown"]
    second, first = served_models.sources("topdown")
    _, centroids = torch_keras.find_parts(first, images, stride=4, highest_first=True)
    for made in (model.run(images=images), model.run_composed(images=images)):
        for frame, image in enumerate(images[..., 0]):
            count = centroids.peak_counts_BN[frame, 0]
            centers = centroids.peaks_BNP2[frame, 0, :count]
            expected = torch_keras.find_in_crops(second, image, centers)
            expected = expected[~np.isnan(expected).all(axis=(1, 2))]
            assert len(expected) > 1
            assert made["instance_counts"][frame] == len(expected)
            found = made["instance_peaks"][frame, : len(expected)]
            np.testing.assert_allclose(found, expected, atol=TOLERANCE_PX)


def test_centered_instances_far_from_the_origin(served_models, large_frame):
    (folder,) = served_models.sources("centered_instance")
    centroids = np.array([[1722.4, 1290.7], [1841.3, 1305.9], [2046.2, 1530.6]], np.float32)
    expected = torch_keras.find_in_crops(folder, large_frame[0, :, :, 0], centroids)
    made = served_models["centered_instance"].run(images=large_frame, centroids=centroids[None])
    count = made["instance_counts"][0]
    expected = expected[~np.isnan(expected).all(axis=(1, 2))]
    assert count == len(expected) > 1
    np.testing.assert_allclose(made["instance_peaks"][0, :count], expected, atol=TOLERANCE_PX)


def test_a_centered_instance_model_of_half_scale_sees_in_frames_of_double_size_what_it_knows(
    shared_data, served_models, tmp_path, pair_frames
):
    """SLEAP's crop_size counts scaled pixels: the network sees as much of the animal as ever."""
    source = shared_data / "models" / "minimal_instance.UNet.centered_instance"
    folder = tmp_path / "half_scale"
    folder.mkdir()
    shutil.copy(source / "best_model.h5", folder)
    config = json.loads((source / "training_config.json").read_text())
    config["data"]["preprocessing"]["input_scaling"] = 0.5
    (folder / "training_config.json").write_text(json.dumps(config))
    assert import_model([folder], tmp_path / "v1").crop_size_px == 192

    # Between pixels, so that crops of both sizes consist of whole pixels: their inputs are equal.
    centroids = np.array([[[122.5, 180.5], [242.5, 195.5]]], np.float32)
    images = pair_frames[:1]
    expected = served_models["centered_instance"].run(images=images, centroids=centroids)
    double = images.repeat(2, axis=1).repeat(2, axis=2)
    made = ServedModel(tmp_path / "v1").run(images=double, centroids=centroids * 2 + 0.5)
    assert made["instance_counts"].tolist() == expected["instance_counts"].tolist() == [2]
    np.testing.assert_allclose(made["instance_peaks"], 2 * expected["instance_peaks"], atol=2e-3)


@pytest.mark.parametrize("global_pool", [True, False])
def test_class_vectors_of_crops(shared_data, tmp_path, pair_frames, global_pool):
    """Also where the vector depends on every pixel's place, and the third centroid is missing."""
    real = shared_data / "models" / "minimal_instance.UNet.centered_instance"
    folder = graft_class_vectors(real, tmp_path / "grafted", global_pool=global_pool)
    import_model([folder], tmp_path / "v1")
    centroids = np.array([[122.5, 180.2], [242.1, 195.6], [np.nan, np.nan]], np.float32)
    origins = coordinates.crop_origins(centroids[:2].astype(np.float64), 96)
    crops = [torch_keras.crop(pair_frames[0, :, :, 0], origin, 96) for origin in origins]
    maps = numpy_keras.forward(folder, np.stack(crops)[..., None] / 255)
    model = ServedModel(tmp_path / "v1")
    request = {"images": pair_frames[:1], "centroids": centroids[None]}
    for made in (model.run(**request), model.run_composed(**request)):
        assert made["instance_counts"].tolist() == [2]
        probabilities = made["class_probabilities"][0]
        np.testing.assert_allclose(probabilities[:2], maps["ClassVectorsHead_0"], atol=1e-5)
        assert not probabilities[2].any()


def test_scaled_input_with_classes(shared_data, served_models):
    images = read_gray_frames(shared_data / "flies_clip" / "clip.mp4", [0, 700])
    (folder,) = served_models.sources("multiclass_bottomup")
    maps, expected = torch_keras.find_parts(folder, images, scale=0.5, max_stride=16, places=64)
    made = served_models["multiclass_bottomup"].run(images=images)
    assert np.array_equal(made["peak_counts"], expected.peak_counts_BN)
    np.testing.assert_allclose(made["peaks"], expected.peaks_BNP2, atol=TOLERANCE_PX)
    classes = torch_keras.head(maps, "ClassMapsHead")
    for b, n, p in np.argwhere(expected.peak_values_BNP > 0):
        column, row = np.rint(expected.peaks_BNP2[b, n, p] / 4).astype(int)
        probabilities = made["class_probabilities"][b, n, p]
        np.testing.assert_allclose(probabilities, classes[b, row, column], atol=1e-3)
