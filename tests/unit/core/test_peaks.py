"""Laws of peak finding and refinement."""

import numpy as np
import pytest

from shoal_core.errors import InvalidArgument
from shoal_core.peaks import (
    Peaks,
    global_peaks,
    local_peaks,
    pad_peaks,
    refine_integral,
    refine_offsets,
)
from shoal_core.targets import confidence_maps


def maps_of(points_px: np.ndarray, size: tuple[int, int] = (40, 50), sigma: float = 0.9):
    return confidence_maps(points_px, size, output_stride=1, sigma_map_px=sigma)[None]


def naive_peaks(map_HW: np.ndarray, threshold: float) -> set[tuple[int, int]]:
    """The tie rule, pixel by pixel, straight from its sentence."""
    found = set()
    height, width = map_HW.shape
    for row in range(height):
        for column in range(width):
            value = map_HW[row, column]
            wins = value > threshold
            for near_row in range(max(row - 1, 0), min(row + 2, height)):
                for near_column in range(max(column - 1, 0), min(column + 2, width)):
                    other = map_HW[near_row, near_column]
                    if (near_row, near_column) < (row, column):
                        wins &= value > other
                    elif (near_row, near_column) > (row, column):
                        wins &= value >= other
            if wins:
                found.add((column, row))
    return found


@pytest.mark.parametrize("levels", [3, 10, 1000])
def test_local_peaks_follow_the_tie_rule(levels: int) -> None:
    rng = np.random.default_rng(levels)
    maps = (rng.integers(0, levels, (2, 13, 17, 3)) / levels).astype(np.float32)
    peaks = local_peaks(maps, 0.2)
    for frame in range(2):
        for node in range(3):
            chosen = (peaks.frames_Q == frame) & (peaks.nodes_Q == node)
            found = {tuple(point) for point in peaks.points_map_Q2[chosen].astype(int).tolist()}
            assert found == naive_peaks(maps[frame, :, :, node], 0.2)


def test_a_flat_top_is_one_peak() -> None:
    maps = np.zeros((1, 9, 9, 1), np.float32)
    maps[0, 3:5, 4:6, 0] = 0.9
    assert local_peaks(maps).points_map_Q2.tolist() == [[4, 3]]


def test_peaks_commute_with_translation() -> None:
    maps = np.pad(np.random.default_rng(4).random((1, 12, 12, 2)), ((0, 0), (8, 8), (8, 8), (0, 0)))
    moved = np.roll(maps, (3, -5), axis=(1, 2))
    for find in (local_peaks, global_peaks):
        here, there = find(maps), find(moved)
        np.testing.assert_array_equal(here.points_map_Q2 + np.float32((-5, 3)), there.points_map_Q2)
        np.testing.assert_array_equal(here.values_Q, there.values_Q)
        refined = refine_integral(maps, here).points_map_Q2
        np.testing.assert_allclose(
            refined + np.float32((-5, 3)), refine_integral(moved, there).points_map_Q2, atol=1e-5
        )


def test_a_batch_gives_what_its_frames_give_alone() -> None:
    maps = np.random.default_rng(5).random((3, 10, 11, 2)).astype(np.float32)
    whole = refine_integral(maps, local_peaks(maps))
    for frame in range(3):
        alone = refine_integral(maps[frame : frame + 1], local_peaks(maps[frame : frame + 1]))
        chosen = whole.frames_Q == frame
        np.testing.assert_array_equal(whole.points_map_Q2[chosen], alone.points_map_Q2)
        np.testing.assert_array_equal(whole.nodes_Q[chosen], alone.nodes_Q)


def test_peaks_come_by_frame_then_node_then_falling_value() -> None:
    maps = np.random.default_rng(6).random((2, 20, 20, 3)).astype(np.float32)
    peaks = local_peaks(maps)
    keys = list(zip(peaks.frames_Q, peaks.nodes_Q, -peaks.values_Q, strict=True))
    assert keys == sorted(keys)


def test_global_peaks_take_the_first_of_equal_pixels_and_nothing_below_the_threshold() -> None:
    maps = np.zeros((1, 6, 6, 2), np.float32)
    maps[0, 2, 3, 0] = maps[0, 4, 1, 0] = 0.7
    maps[0, 1, 1, 1] = 0.2
    peaks = global_peaks(maps, 0.2)
    assert peaks.nodes_Q.tolist() == [0]
    assert peaks.points_map_Q2.tolist() == [[3, 2]]


def test_integral_refinement_finds_the_centres_of_gaussians() -> None:
    rng = np.random.default_rng(7)
    centres = np.stack((rng.uniform(5, 44, 200), rng.uniform(5, 34, 200)), axis=1)
    maps = np.concatenate([maps_of(centre[None, None]) for centre in centres])
    refined = refine_integral(maps, local_peaks(maps)).points_map_Q2
    assert np.abs(refined - centres).max() < 0.05


def test_integral_refinement_counts_nothing_beyond_the_border() -> None:
    maps = maps_of(np.array([[[0.0, 0.0]]]))
    patch = maps[0, :3, :3, 0]
    expected = (patch.sum(axis=0) @ np.arange(3)) / patch.sum()
    refined = refine_integral(maps, local_peaks(maps)).points_map_Q2
    np.testing.assert_allclose(refined, [[expected, expected]], atol=1e-6)


def test_true_offset_maps_refine_exactly() -> None:
    centres = np.array([[[12.3, 20.8], [33.4, 8.6]]])
    maps = maps_of(centres)
    x, y = np.meshgrid(np.arange(50), np.arange(40))
    offsets = centres[0][None, None] - np.stack((x, y), axis=2)[:, :, None]
    refined = refine_offsets(offsets[None], local_peaks(maps))
    np.testing.assert_allclose(refined.points_map_Q2, centres[0], atol=1e-5)


def test_padded_peaks_hold_the_strongest_and_flag_the_overflow() -> None:
    peaks = Peaks(
        frames_Q=np.array([0, 0, 0, 1]),
        nodes_Q=np.array([1, 1, 1, 0]),
        points_map_Q2=np.arange(8, dtype=np.float32).reshape(4, 2),
        values_Q=np.array([0.9, 0.8, 0.7, 0.6], np.float32),
    )
    padded = pad_peaks(peaks, batch_size=2, node_count=2, places=2)
    assert padded.peak_counts_BN.tolist() == [[0, 2], [1, 0]]
    assert padded.overflow_B.tolist() == [1, 0]
    np.testing.assert_array_equal(padded.peaks_BNP2[0, 1], [[0, 1], [2, 3]])
    np.testing.assert_array_equal(padded.peak_values_BNP[1, 0], np.float32([0.6, 0]))
    assert np.isnan(padded.peaks_BNP2[1, 0, 1]).all()
    assert np.isnan(padded.peaks_BNP2[0, 0]).all()


def test_maps_without_peaks_give_empty_peaks() -> None:
    maps = np.zeros((2, 5, 5, 3), np.float32)
    peaks = refine_integral(maps, local_peaks(maps))
    assert len(peaks) == len(global_peaks(maps)) == 0
    assert not pad_peaks(peaks, 2, 3, 4).peak_counts_BN.any()


def test_wrong_shapes_and_patches_are_refused() -> None:
    with pytest.raises(InvalidArgument) as shape_error:
        local_peaks(np.zeros((5, 5, 3)))
    assert shape_error.value.reason == "MAPS_SHAPE_INVALID"
    maps = np.zeros((1, 5, 5, 1))
    with pytest.raises(InvalidArgument) as patch_error:
        refine_integral(maps, local_peaks(maps), patch_size=4)
    assert patch_error.value.reason == "PATCH_SIZE_INVALID"
