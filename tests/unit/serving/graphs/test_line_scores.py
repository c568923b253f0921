"""Line scores and class probabilities in graphs are those of shoal_core."""

import numpy as np
import pytest

from shoal_core import pafs as core
from shoal_serving.graphs.classes import class_probabilities
from shoal_serving.graphs.pafs import edge_scores
from tests.unit.serving.graphs.running import evaluate

EDGES = ((0, 1), (2, 0), (1, 3))


def scene(seed, batch=2, nodes=4, places=5, height=30, width=44):
    rng = np.random.default_rng(seed)
    fields = rng.normal(0, 1, (batch, 2 * len(EDGES), height, width)).astype(np.float32)
    peaks = rng.uniform(-3, (width + 3, height + 3), (batch, nodes, places, 2)).astype(np.float32)
    peaks[rng.uniform(size=peaks.shape[:3]) < 0.3] = np.nan
    return fields, peaks


def score(fields, peaks, count=10):
    def graph(fields, peaks, samples):
        valid = peaks.is_nan().cast(1).reduce("ReduceMax", 3) < 1.0
        return edge_scores(fields, peaks, valid, EDGES, samples)

    samples = np.tile(np.linspace(0, 1, count, dtype=np.float32), (len(fields), 1))
    (made,) = evaluate(graph, fields, peaks, samples)
    return made


def expect(fields, peaks, count=10):
    batch, _, height, width = fields.shape
    paired = fields.reshape(batch, len(EDGES), 2, height, width).transpose(0, 3, 4, 1, 2)
    return core.edge_scores(paired, peaks, EDGES, count)


@pytest.mark.parametrize("seed", range(5))
def test_line_scores_are_those_of_the_core(seed):
    fields, peaks = scene(seed)
    np.testing.assert_allclose(score(fields, peaks), expect(fields, peaks), atol=1e-5)


@pytest.mark.parametrize("count", [2, 3, 37])
def test_lines_are_read_at_as_many_samples_as_are_given(count):
    fields, peaks = scene(9)
    made = score(fields, peaks, count)
    np.testing.assert_allclose(made, expect(fields, peaks, count), atol=1e-5)
    assert np.abs(made - expect(fields, peaks)).max() > 0.1


def test_peaks_at_one_place_have_score_zero():
    fields, peaks = scene(0)
    peaks[:, 1, 0] = peaks[:, 0, 0] = (7.25, 8.5)
    made = score(fields, peaks)
    assert np.array_equal(made[:, 0, 0, 0], [0, 0])
    np.testing.assert_allclose(made, expect(fields, peaks), atol=1e-5)


def test_a_line_along_its_field_has_score_one():
    fields, peaks = scene(1)
    fields[:, 0], fields[:, 1] = 0.6, 0.8
    peaks[:, 0, 0], peaks[:, 1, 0] = (4.0, 5.0), (16.0, 21.0)
    np.testing.assert_allclose(score(fields, peaks)[:, 0, 0, 0], 1, atol=1e-6)


def test_class_maps_are_read_at_the_nearest_pixel():
    rng = np.random.default_rng(0)
    maps = rng.uniform(size=(2, 3, 20, 24)).astype(np.float32)
    peaks = rng.uniform(0, (23, 19), (2, 4, 5, 2)).astype(np.float32)
    peaks[0, 1, 2:] = np.nan
    valid = ~np.isnan(peaks[..., 0])

    def graph(maps, peaks):
        return class_probabilities(maps, peaks, peaks.is_nan().cast(1).reduce("ReduceMax", 3) < 1.0)

    (made,) = evaluate(graph, maps, peaks)
    assert made.shape == (2, 4, 5, 3)
    pixels = np.rint(np.nan_to_num(peaks)).astype(int)
    for b, n, p in np.ndindex(valid.shape):
        x, y = pixels[b, n, p]
        assert np.array_equal(made[b, n, p], maps[b, :, y, x] * valid[b, n, p])
