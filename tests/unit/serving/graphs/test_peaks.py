"""Peaks in graphs are the peaks of shoal_core."""

import numpy as np
import pytest

from shoal_core import peaks as core
from shoal_serving.graphs.peaks import global_peaks, local_peaks
from tests.unit.serving.graphs.running import evaluate

NODES, PLACES = 3, 20


def thresholds(batch, value=0.2):
    return np.full((batch, 1), value, np.float32)


def find_local(maps_BNhw, threshold_B1, places=PLACES, offsets=None):
    def graph(maps, threshold, *rest):
        peaks, overflow = local_peaks(maps, threshold, places, rest[0] if rest else None)
        return peaks.positions_BNP2, peaks.values_BNP, peaks.valid_BNP, overflow

    arrays = [maps_BNhw, threshold_B1] + ([] if offsets is None else [offsets])
    positions, values, valid, overflow = evaluate(graph, *arrays)
    return np.where(valid[..., None], positions, np.nan), values * valid, valid, overflow[:, 0]


def expect_local(maps_BNhw, places=PLACES, threshold=0.2):
    maps_BHWN = np.moveaxis(maps_BNhw, 1, -1)
    found = core.refine_integral(maps_BHWN, core.local_peaks(maps_BHWN, threshold))
    return core.pad_peaks(found, len(maps_BNhw), maps_BNhw.shape[1], places)


def blobs(seed, batch=2, height=41, width=60, count=6, sigma=2.0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    maps = np.zeros((batch, NODES, height, width))
    for frame in maps.reshape(-1, height, width):
        for _ in range(count):
            cx, cy, peak = rng.uniform((0, 0, 0.3), (width, height, 1.1))
            blob = peak * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2))
            np.maximum(frame, blob, out=frame)
    return (maps + rng.normal(0, 0.01, maps.shape)).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_local_peaks_are_those_of_the_core(seed):
    maps = blobs(seed)
    expected = expect_local(maps)
    positions, values, valid, overflow = find_local(maps, thresholds(2))
    assert np.array_equal(valid.sum(-1), expected.peak_counts_BN)
    np.testing.assert_allclose(positions, expected.peaks_BNP2, atol=1e-4)
    assert np.array_equal(values, expected.peak_values_BNP)
    assert not overflow.any()


@pytest.mark.parametrize("seed", range(5))
def test_flat_tops_are_one_peak_as_in_the_core(seed):
    """Maps of few levels: plateaus of every shape, also along the borders."""
    maps = (np.round(blobs(seed, height=21, width=25, sigma=3.0) * 5) / 5).astype(np.float32)
    places = 60
    expected = expect_local(maps, places)
    positions, values, _, overflow = find_local(maps, thresholds(2), places)
    assert np.array_equal(values, expected.peak_values_BNP)
    key = lambda array: sorted(map(tuple, array[~np.isnan(array[:, 0])].round(3)))  # noqa: E731
    for made, wanted in zip(
        positions.reshape(-1, places, 2), expected.peaks_BNP2.reshape(-1, places, 2), strict=True
    ):
        assert key(made) == key(wanted)
    assert np.array_equal(overflow, expected.overflow_B.astype(bool))


def test_peaks_on_the_border_and_in_corners():
    maps = np.zeros((1, 1, 9, 12), np.float32)
    for row, column in ((0, 0), (0, 11), (8, 0), (8, 11), (4, 0), (0, 6), (8, 5)):
        maps[0, 0, row, column] = 1 - 0.01 * (row + column)
    expected = expect_local(maps)
    positions, *_ = find_local(maps, thresholds(1))
    assert expected.peak_counts_BN[0, 0] == 7
    np.testing.assert_allclose(positions, expected.peaks_BNP2, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 30)])
def test_maps_smaller_than_the_number_of_places(size):
    maps = np.random.default_rng(1).uniform(0.3, 1, (2, NODES, *size)).astype(np.float32)
    expected = expect_local(maps)
    positions, *_ = find_local(maps, thresholds(2))
    np.testing.assert_allclose(positions, expected.peaks_BNP2, atol=1e-5)


def test_every_frame_has_its_own_threshold():
    maps = np.zeros((2, 1, 8, 8), np.float32)
    maps[:, 0, 2, 2], maps[:, 0, 6, 6] = 0.5, 0.3
    _, _, valid, _ = find_local(maps, np.array([[0.2], [0.4]], np.float32))
    assert valid.sum(-1).tolist() == [[2], [1]]


def test_a_pixel_at_the_threshold_is_no_peak():
    maps = np.zeros((1, 1, 8, 8), np.float32)
    maps[0, 0, 2, 2] = 0.2
    _, _, valid, _ = find_local(maps, thresholds(1))
    assert not valid.any()


@pytest.mark.parametrize(("count", "flagged"), [(4, False), (5, True)])
def test_more_peaks_than_places_are_flagged_and_the_highest_kept(count, flagged):
    maps = np.zeros((2, 2, 9, 40), np.float32)
    for i in range(count):
        maps[1, 1, 4, 4 * i + 2] = 0.5 + 0.01 * i
    positions, values, valid, overflow = find_local(maps, thresholds(2), places=4)
    assert overflow.tolist() == [False, flagged]
    assert valid[1, 1].all()
    assert np.all(np.diff(values[1, 1]) < 0)
    assert values[1, 1, 0] == np.float32(0.5 + 0.01 * (count - 1))
    assert positions[1, 1, 0].tolist() == [4 * (count - 1) + 2, 4]


@pytest.mark.parametrize("places", [4, PLACES])
def test_raster_order_changes_nothing_but_the_order(places):
    maps = blobs(3)

    def graph(maps, threshold):
        high, _ = local_peaks(maps, threshold, places, None)
        raster, _ = local_peaks(maps, threshold, places, None, order="raster")
        return [
            value
            for peaks in (high, raster)
            for value in (peaks.positions_BNP2, peaks.values_BNP, peaks.valid_BNP)
        ]

    positions, values, valid, in_rows, its_values, its_valid = evaluate(graph, maps, thresholds(2))
    assert np.array_equal(valid, its_valid)
    for group in np.ndindex(valid.shape[:2]):
        found = valid[group]
        pixels = [(maps[group] == value).nonzero() for value in its_values[group][found]]
        assert pixels == sorted(pixels)
        order = np.argsort(-its_values[group][found], kind="stable")
        np.testing.assert_array_equal(its_values[group][found][order], values[group][found])
        # Sums of vectorised code depend on where in memory they are taken.
        moved = in_rows[group][found][order] - positions[group][found]
        assert np.abs(moved).max() < 1e-5


def test_offset_maps_move_peaks_as_in_the_core():
    maps = blobs(7)
    batch, _, height, width = maps.shape
    offsets = np.random.default_rng(2).normal(0, 1, (batch, NODES, 2, height, width))
    offsets = offsets.astype(np.float32)
    maps_BHWN = np.moveaxis(maps, 1, -1)
    rough = core.local_peaks(maps_BHWN)
    moved = core.refine_offsets(offsets.transpose(0, 3, 4, 1, 2), rough)
    expected = core.pad_peaks(moved, batch, NODES, PLACES)
    stacked = offsets.reshape(batch, 2 * NODES, height, width)
    positions, *_ = find_local(maps, thresholds(batch), offsets=stacked)
    np.testing.assert_allclose(positions, expected.peaks_BNP2, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_global_peaks_are_those_of_the_core(seed):
    maps = blobs(seed, batch=3, count=3)
    maps[1, 2] *= 0.1  # a node that is not there
    maps_BHWN = np.moveaxis(maps, 1, -1)
    found = core.refine_integral(maps_BHWN, core.global_peaks(maps_BHWN))
    expected = core.pad_peaks(found, 3, NODES, 1)

    def graph(maps, threshold):
        peaks = global_peaks(maps, threshold, None)
        return peaks.positions_BNP2, peaks.values_BNP, peaks.valid_BNP

    positions, values, valid = evaluate(graph, maps, thresholds(3))
    assert np.array_equal(valid[..., 0], expected.peak_counts_BN == 1)
    positions = np.where(valid[..., None], positions, np.nan)
    np.testing.assert_allclose(positions, expected.peaks_BNP2, atol=1e-5)
    assert np.array_equal(values * valid, expected.peak_values_BNP)


def test_no_maps_have_no_peaks():
    def graph(maps, threshold):
        return global_peaks(maps, threshold, None).positions_BNP2

    (positions,) = evaluate(graph, np.zeros((0, 2, 5, 5), np.float32), thresholds(0))
    assert positions.shape == (0, 2, 1, 2)
