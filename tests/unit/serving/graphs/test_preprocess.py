"""Network input is what SLEAP's preprocessing makes of a frame."""

import numpy as np
import pytest
import torch

from shoal_serving.graphs.preprocess import Scaling, preprocess
from tests.unit.serving.graphs.running import evaluate


def run(images, channels, scale=1.0, stride=1, *, antialias=False):
    scaling = Scaling(scale, antialias)
    (made,) = evaluate(lambda value: preprocess(value, channels, scaling, stride), images)
    return made


def frames(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_that_fit_are_only_divided(channels):
    images = frames(2, 6, 7, channels)
    expected = np.moveaxis(images.astype(np.float32) * np.float32(1 / 255), -1, 1)
    assert np.array_equal(run(images, channels), expected)


def test_gray_becomes_three_equal_planes():
    images = frames(2, 6, 7, 1)
    made = run(images, 3)
    assert np.array_equal(made, run(images, 1).repeat(3, axis=1))


def test_color_becomes_gray_as_in_tensorflow():
    """Its conversion weighs floats and goes back to whole levels by floor(255.5 · x)."""
    images = frames(2, 30, 31, 3)
    floats = images.astype(np.float64) / 255
    gray = np.floor(floats @ [0.2989, 0.587, 0.114] * 255.5)
    assert np.abs(run(images, 1)[:, 0] * 255 - gray).max() < 1e-4


def test_gray_stored_as_color_is_the_same_gray():
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    assert np.array_equal(run(images.repeat(3, axis=3), 1), run(images, 1))


@pytest.mark.parametrize("scale", [0.5, 0.4, 0.75, 2.0])
def test_scaling_is_bilinear_between_half_pixel_centers(scale):
    images = frames(1, 21, 34, 1)
    height, width = int(np.float32(21 * scale)), int(np.float32(34 * scale))
    plane = images[0, :, :, 0] / 255
    for axis, length in ((0, height), (1, width)):
        size = plane.shape[axis]
        at = ((np.arange(length) + 0.5) * size / length - 0.5).clip(0, size - 1)
        low = np.floor(at).astype(int)
        part = (at - low).reshape((-1, 1) if axis == 0 else (1, -1))
        high = (low + 1).clip(0, size - 1)
        plane = plane.take(low, axis) * (1 - part) + plane.take(high, axis) * part
    np.testing.assert_allclose(run(images, 1, scale)[0, 0], plane, atol=1e-5)


@pytest.mark.parametrize("scale", [0.5, 0.4, 0.75, 2.0])
def test_antialiased_scaling_is_that_of_torch(scale):
    images = frames(2, 20, 40, 1)
    size = (int(20 * scale), int(40 * scale))
    planes = torch.from_numpy(np.moveaxis(images, -1, 1) / np.float32(255))
    expected = torch.nn.functional.interpolate(planes, size, mode="bilinear", antialias=True)
    np.testing.assert_allclose(run(images, 1, scale, antialias=True), expected, atol=1e-5)


@pytest.mark.parametrize(("size", "padded"), [((16, 32), (16, 32)), ((17, 31), (32, 32))])
def test_zeros_are_added_below_and_to_the_right(size, padded):
    images = frames(1, *size, 1)
    made = run(images, 1, stride=16)
    assert made.shape == (1, 1, *padded)
    assert np.array_equal(made[:, :, : size[0], : size[1]], run(images, 1))
    made[:, :, : size[0], : size[1]] = 0
    assert not made.any()
