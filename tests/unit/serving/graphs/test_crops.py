"""Crops are cut where they should be, and what is found in them is put back without bias."""

import numpy as np
import pytest

from shoal_common.inference.contract import PoseContract, Stage
from shoal_core.skeleton import Skeleton
from shoal_serving.graphs.body import Body, Head
from shoal_serving.graphs.builder import FLOAT
from shoal_serving.graphs.crops import crops
from shoal_serving.graphs.network import Network
from shoal_serving.graphs.package import write_package
from shoal_serving.graphs.preprocess import Scaling
from tests.unit.serving.graphs.running import ServedModel, evaluate

SIDE = 12


def run(images, centers, frames, side=SIDE, channels=1, scale=1.0, stride=1):
    def graph(images, centers, frames):
        return crops(images, centers, frames, side, channels, Scaling(scale), stride)

    (made,) = evaluate(graph, images, np.asarray(centers, np.float32), np.asarray(frames, np.int32))
    return made


def images_of(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def reference(image_HW, center, side):
    """TensorFlow's crop_and_resize: bilinear samples, 0 where one lies outside the frame."""
    height, width = image_HW.shape
    rows = center[1] - (side - 1) / 2 + np.arange(side)
    columns = center[0] - (side - 1) / 2 + np.arange(side)
    crop = np.zeros((side, side))
    for i, y in enumerate(rows):
        for j, x in enumerate(columns):
            if 0 <= y <= height - 1 and 0 <= x <= width - 1:
                top, left = int(np.floor(y)), int(np.floor(x))
                bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
                above = image_HW[top, left] * (left + 1 - x) + image_HW[top, right] * (x - left)
                below = image_HW[bottom, left] * (left + 1 - x)
                below += image_HW[bottom, right] * (x - left)
                crop[i, j] = above * (top + 1 - y) + below * (y - top)
    return crop / 255


def test_crops_at_whole_pixels_are_the_pixels():
    images = images_of(2, 40, 50, 1)
    made = run(images, [(15.5, 10.5), (30.5, 25.5)], [0, 1])
    expected = [images[0, 5:17, 10:22, 0], images[1, 20:32, 25:37, 0]]
    assert np.array_equal(made[:, 0], np.stack(expected).astype(np.float32) * np.float32(1 / 255))


@pytest.mark.parametrize(
    "center", [(20.3, 18.8), (0.0, 0.0), (49.0, 39.0), (-3.7, 20.2), (48.9, -2.2), (500.0, 20.0)]
)
def test_crops_are_bilinear_and_zero_outside(center):
    images = images_of(1, 40, 50, 1)
    made = run(images, [center], [0])
    np.testing.assert_allclose(made[0, 0], reference(images[0, :, :, 0], center, SIDE), atol=2e-6)


def test_an_odd_crop_is_centered_on_its_pixel():
    images = images_of(1, 40, 50, 1)
    made = run(images, [(20.0, 10.0)], [0], side=3)
    assert np.array_equal((made[0, 0] * 255).round(), images[0, 9:12, 19:22, 0].astype(np.float32))


def test_colors_of_crops_are_converted_like_frames():
    images = images_of(1, 40, 50, 3)
    centers = [(20.5, 18.5)]
    colored = run(images, centers, [0], channels=3)
    assert np.array_equal(
        (colored[0, 2] * 255).round(), images[0, 13:25, 15:27, 2].astype(np.float32)
    )
    gray = images.copy()
    gray[...] = images[..., :1]
    assert np.array_equal(run(gray, centers, [0]), run(images[..., :1].copy(), centers, [0]))


def test_crops_are_scaled_after_they_are_cut_and_padded():
    images = images_of(1, 40, 50, 1)
    made = run(images, [(20.5, 18.5)], [0], scale=0.5, stride=4)
    assert made.shape == (1, 1, 8, 8)
    quarters = run(images, [(20.5, 18.5)], [0])[0, 0].reshape(6, 2, 6, 2).mean((1, 3))
    np.testing.assert_allclose(made[0, 0, :6, :6], quarters, atol=1e-6)
    assert not made[0, 0, 6:].any()


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_no_centers_make_no_crops(scale):
    made = run(images_of(1, 40, 50, 1), np.zeros((0, 2)), np.zeros(0), scale=scale)
    assert made.shape[0] == 0


def blob_model(folder, stride, scale):
    """A model whose map is its input, every stride-th pixel of it: it finds bright spots."""
    head = Head("CenteredInstanceConfmapsHead_0", 1, stride)

    def emit(graph, image):
        weight = graph.constant(np.ones((1, 1, 1, 1)), FLOAT)
        strides = [stride, stride]
        return {head.name: graph.op("Conv", image, weight, kernel_shape=[1, 1], strides=strides)}

    stage = Stage("centered_instance", scale, stride, {head.name: stride}, "integral")
    contract = PoseContract(
        family="instances",
        kind="centered_instance",
        skeleton=Skeleton("spot", ("spot",)),
        channels=1,
        stages=(stage,),
        crop_size_px=48,
    )
    write_package(folder, contract, [Network(stage, Body(1, stride, (head,), emit))])
    return ServedModel(folder)


def spots(rng, sigma, count=40):
    """A large frame with spots at known places, and where they are."""
    height, width = 1536, 2048
    grid = np.stack(np.meshgrid(np.arange(8), np.arange(5)), axis=-1).reshape(-1, 2)[:count]
    true = 100 + grid * (240, 320) + rng.uniform(-0.5, 0.5, (count, 2))
    frame = np.zeros((height, width))
    for cx, cy in true:
        left, top = int(cx) - 30, int(cy) - 30
        y, x = np.mgrid[top : top + 61, left : left + 61]
        blob = 255 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2))
        frame[top : top + 61, left : left + 61] += blob
    return np.round(frame).clip(0, 255).astype(np.uint8)[None, :, :, None], true


@pytest.mark.parametrize(("stride", "sigma"), [(1, 0.9), (2, 1.8), (4, 3.6)])
@pytest.mark.parametrize("composed", [False, True])
def test_crops_map_back_without_bias(tmp_path, stride, sigma, composed):
    """Spots at known places of a 1536 x 2048 frame, crops anywhere around them."""
    rng = np.random.default_rng(stride)
    model = blob_model(tmp_path / "spots", stride, 1.0)
    errors = []
    for _ in range(3):
        images, true = spots(rng, sigma)
        centroids = (true + rng.uniform(-5, 5, true.shape)).astype(np.float32)[None]
        run_model = model.run_composed if composed else model.run
        made = run_model(images=images, centroids=centroids)
        assert made["instance_counts"].tolist() == [len(true)]
        errors.append(made["instance_peaks"][0, :, 0] - true)
    errors = np.concatenate(errors)
    assert np.abs(errors.mean(axis=0)).max() < 0.02
    assert np.abs(errors).max() < 0.15 * stride
    assert true.max(axis=0).min() > 1000


@pytest.mark.parametrize("scale", [0.5, 0.7, 1.3])
def test_scaled_crops_are_not_stretched_to_whole_pixels(tmp_path, scale):
    """A spot lies as far from its place at either edge of the crop, also at 48 · 0.7 pixels.

    It is the shift of half-pixel centres, which the network learns: labels are scaled without.
    """
    rng = np.random.default_rng(7)
    model = blob_model(tmp_path / "spots", 1, scale)
    images, true = spots(rng, 0.9 / scale)
    away = rng.uniform(-15, 15, true.shape)
    made = model.run(images=images, centroids=(true - away).astype(np.float32)[None])
    errors = made["instance_peaks"][0, :, 0] - true
    slope, shift = np.polyfit(away.ravel(), errors.ravel(), 1)
    assert abs(slope) < 2e-3
    assert abs(shift - (0.5 - 0.5 / scale)) < 0.02
