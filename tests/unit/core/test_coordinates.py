"""Laws of the coordinate conversions."""

import numpy as np
import pytest

from shoal_core.coordinates import (
    bounding_boxes,
    crop_origins,
    crop_to_frame,
    frame_to_crop,
    frame_to_map,
    map_to_frame,
)
from shoal_core.errors import InvalidArgument


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
@pytest.mark.parametrize("scale", [0.25, 0.5, 1.0])
def test_frame_to_map_undoes_map_to_frame(stride: int, scale: float) -> None:
    points = np.random.default_rng(1).uniform(0, 2000, (5, 3, 2)).astype(np.float32)
    there = frame_to_map(points, output_stride=stride, input_scale=scale)
    back = map_to_frame(there, output_stride=stride, input_scale=scale)
    np.testing.assert_allclose(back, points, rtol=1e-6)


def test_a_map_pixel_lies_on_its_index_times_stride_over_scale() -> None:
    np.testing.assert_array_equal(
        map_to_frame(np.array([3.0, 5.0], np.float32), output_stride=4, input_scale=0.5), [24, 40]
    )


@pytest.mark.parametrize("size", [7, 96, 160])
def test_the_middle_of_a_crop_lies_on_its_centroid(size: int) -> None:
    centroids = np.array([[100.25, 40.5], [3.0, 900.75]], np.float32)
    middle = np.full((2, 1, 2), (size - 1) / 2, np.float32)
    np.testing.assert_allclose(
        crop_to_frame(middle, crop_origins(centroids, size))[:, 0], centroids, atol=1e-4
    )


def test_frame_to_crop_undoes_crop_to_frame() -> None:
    points = np.random.default_rng(2).uniform(0, 96, (4, 3, 2)).astype(np.float32)
    origins = np.random.default_rng(3).uniform(0, 900, (4, 2)).astype(np.float32)
    np.testing.assert_allclose(
        frame_to_crop(crop_to_frame(points, origins), origins), points, atol=1e-3
    )


def test_bounding_boxes_ignore_missing_nodes() -> None:
    nan = np.nan
    points = np.array([[[1, 5], [nan, nan], [4, 2]], [[nan, nan]] * 3], np.float32)
    boxes = bounding_boxes(points)
    np.testing.assert_array_equal(boxes[0], [1, 2, 4, 5])
    assert np.isnan(boxes[1]).all()


def test_impossible_scales_and_crops_are_refused_by_name() -> None:
    points = np.zeros((1, 2), np.float32)
    with pytest.raises(InvalidArgument, match="must be positive") as scale_error:
        map_to_frame(points, output_stride=0)
    assert scale_error.value.reason == "SCALE_INVALID"
    with pytest.raises(InvalidArgument) as crop_error:
        crop_origins(points, 0)
    assert crop_error.value.reason == "CROP_SIZE_INVALID"
