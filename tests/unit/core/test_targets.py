"""Laws of the training targets."""

import numpy as np
import pytest

from shoal_core.errors import InvalidArgument
from shoal_core.targets import (
    class_discs,
    class_maps,
    confidence_maps,
    offset_maps,
    part_affinity_fields,
)

NAN = np.nan


def test_a_node_on_the_grid_has_confidence_one_and_a_gaussian_around_it() -> None:
    points = np.array([[[8.0, 12.0]]])
    maps = confidence_maps(points, (10, 9), output_stride=2, sigma_map_px=1.5)
    assert maps.shape == (10, 9, 1)
    assert maps[6, 4, 0] == 1
    assert maps[6, 6, 0] == pytest.approx(np.exp(-4 / (2 * 1.5**2)), rel=1e-6)


def test_sigma_in_map_pixels_draws_the_same_map_at_any_stride() -> None:
    fine = confidence_maps(np.array([[[5.0, 5.0]]]), (11, 11), output_stride=1, sigma_map_px=2)
    coarse = confidence_maps(np.array([[[20.0, 20.0]]]), (11, 11), output_stride=4, sigma_map_px=2)
    np.testing.assert_array_equal(fine, coarse)


def test_instances_share_a_map_by_maximum() -> None:
    points = np.array([[[3.0, 3.0]], [[6.0, 3.0]]])
    both = confidence_maps(points, (8, 10), output_stride=1, sigma_map_px=1.5)
    alone = [confidence_maps(p[None], (8, 10), output_stride=1, sigma_map_px=1.5) for p in points]
    np.testing.assert_array_equal(both, np.maximum(*alone))


def test_missing_nodes_draw_nothing() -> None:
    points = np.array([[[NAN, NAN], [4.0, 4.0]]])
    maps = confidence_maps(points, (8, 8), output_stride=1, sigma_map_px=1)
    fields = part_affinity_fields(points, ((0, 1),), (8, 8), output_stride=1, sigma_px=5)
    assert not maps[:, :, 0].any()
    assert maps[:, :, 1].max() == 1
    assert not fields.any()


def test_a_field_on_its_edge_is_the_unit_vector_and_fades_with_the_fourth_power() -> None:
    points = np.array([[[4.0, 10.0], [24.0, 10.0]]])
    fields = part_affinity_fields(points, ((0, 1),), (20, 30), output_stride=1, sigma_px=10)
    np.testing.assert_allclose(fields[10, 15, 0], [1, 0], atol=1e-6)
    np.testing.assert_allclose(fields[13, 15, 0], [np.exp(-(3**4) / 200), 0], atol=1e-6)
    # Beyond the end the distance is to the segment's end, not to its line.
    np.testing.assert_allclose(fields[10, 27, 0], [np.exp(-(3**4) / 200), 0], atol=1e-6)


def test_reversing_an_edge_reverses_its_field() -> None:
    points = np.array([[[4.0, 6.0], [11.0, 9.0]]])
    there = part_affinity_fields(points, ((0, 1),), (16, 16), output_stride=1, sigma_px=8)
    back = part_affinity_fields(points, ((1, 0),), (16, 16), output_stride=1, sigma_px=8)
    np.testing.assert_allclose(there, -back, atol=1e-6)


def test_fields_of_instances_add_up() -> None:
    points = np.array([[[2.0, 4.0], [14.0, 4.0]], [[2.0, 5.0], [14.0, 9.0]]])
    options = {"output_stride": 1, "sigma_px": 8.0}
    both = part_affinity_fields(points, ((0, 1),), (12, 16), **options)
    alone = [part_affinity_fields(p[None], ((0, 1),), (12, 16), **options) for p in points]
    np.testing.assert_allclose(both, alone[0] + alone[1], atol=1e-6)


def test_a_lone_animal_owns_its_pixels_and_a_disputed_pixel_is_shared() -> None:
    options = {"output_stride": 1, "sigma_map_px": 1.5}
    points = np.array([[[5.0, 5.0]], [[25.0, 5.0]]])
    maps = class_maps(points, np.array([1, 0]), 2, (10, 30), **options)
    assert maps[5, 5].tolist() == pytest.approx([0, 1])
    assert maps[5, 25].tolist() == pytest.approx([1, 0])
    assert maps[5, 15].tolist() == [0, 0]
    touching = class_maps(
        np.array([[[5.0, 5.0]], [[7.0, 5.0]]]), np.array([0, 1]), 2, (10, 30), **options
    )
    assert touching[5, 6].tolist() == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(("stride", "sigma"), [(0, 1.0), (1, 0.0), (1, -2.0)])
def test_impossible_strides_and_sigmas_are_refused(stride: int, sigma: float) -> None:
    with pytest.raises(InvalidArgument) as error:
        confidence_maps(np.zeros((1, 1, 2)), (4, 4), output_stride=stride, sigma_map_px=sigma)
    assert error.value.reason == "TARGET_INVALID"


def test_a_class_beyond_the_count_is_refused() -> None:
    with pytest.raises(InvalidArgument) as error:
        class_maps(np.zeros((1, 1, 2)), np.array([2]), 2, (4, 4), output_stride=1, sigma_map_px=1)
    assert error.value.reason == "CLASS_INVALID"


def test_class_discs_are_one_within_the_radius_of_any_node_of_the_class() -> None:
    points = np.array([[[8.0, 8.0], [NAN, NAN]], [[24.0, 8.0], [24.0, 16.0]]])
    maps = class_discs(points, np.array([1, 0]), 2, (8, 8), output_stride=4, radius_map_px=1)
    first = {(row, column) for row, column in np.argwhere(maps[:, :, 1])}
    assert first == {(2, 2), (1, 2), (3, 2), (2, 1), (2, 3)}
    assert maps[[2, 4], 6, 0].tolist() == [1, 1]
    assert set(np.unique(maps)) == {0, 1}


def test_an_animal_without_class_draws_no_disc() -> None:
    points = np.array([[[8.0, 8.0]]])
    maps = class_discs(points, np.array([-1]), 2, (4, 4), output_stride=4, radius_map_px=2)
    assert not maps.any()


def test_offsets_lead_from_every_pixel_near_a_node_to_the_nearest_one() -> None:
    points = np.array([[[9.0, 6.5]], [[21.0, 6.0]]])
    maps = offset_maps(points, (8, 14), output_stride=2, sigma_map_px=1.5)
    confidence = confidence_maps(points, (8, 14), output_stride=2, sigma_map_px=1.5)[:, :, 0]
    near = ~np.isnan(maps[:, :, 0, 0])
    np.testing.assert_array_equal(near, confidence > 0.2)
    rows, columns = np.nonzero(near)
    found = 2 * (np.stack((columns, rows), axis=1) + maps[rows, columns, 0])
    expected = np.where(columns[:, None] <= 7, points[0], points[1])
    np.testing.assert_allclose(found, expected, atol=1e-5)
