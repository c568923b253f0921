"""Which frames a run's figures are of."""

import itertools
import logging

import pytest

from shoal_core.errors import DataLoss
from shoal_training.config import DataConfig, TrainingConfig
from shoal_training.held_out import PROBE, score_held_out
from shoal_training.predict import Predictor
from shoal_training.splits import Split
from shoal_training.training_data import TrainingData
from tests.unit.training.painted import painted_set, painted_spec, reads_colours

COUNT = 30
CONFIG = TrainingConfig(kind="centered_instance", data=DataConfig(labels=("a.slp",)))


def _scored(split, limit_s=None, damaged=()):
    """Returns the frames that are scored, by a clock that says that each takes a second."""
    labelled = painted_set(COUNT)
    read, seconds = labelled.videos[0].read, itertools.count()

    def read_or_fail(index, channels):
        if index in damaged:
            raise DataLoss("FRAME_UNREADABLE", f"Frame {index} is damaged.")
        return read(index, channels)

    labelled.videos[0].read = read_or_fail
    ticks = iter((0.0, float(PROBE)))
    scored = score_held_out(
        TrainingData(labelled, split, CONFIG),
        Predictor(reads_colours, painted_spec()),
        limit_s,
        lambda: next(seconds),
        lambda: next(ticks),
    )
    return [frame.labelled.frame_index for frame in scored]


def test_figures_are_of_the_test_else_the_validation_else_the_training(caplog) -> None:
    assert _scored(Split((0, 1), (2, 3), (4,))) == [4]
    assert _scored(Split((0, 1), (2, 3), ())) == [2, 3]
    assert not caplog.text
    assert _scored(Split((0, 1), (), ())) == [0, 1]
    assert "trained on, and say little" in caplog.text


def test_damaged_frames_are_left_out_of_the_figures(caplog) -> None:
    with caplog.at_level(logging.WARNING):
        assert _scored(Split((0,), (2, 3), (4,)), damaged=(4, 2)) == [3]
    assert caplog.text.count("is damaged") == 2


@pytest.mark.parametrize(("limit_s", "count"), [(None, 29), (29, 29), (28, 28), (12, 12), (1, 8)])
def test_no_more_frames_are_scored_than_the_time_allows(caplog, limit_s, count) -> None:
    scored = _scored(Split((0,), tuple(range(1, COUNT)), ()), limit_s)
    assert len(scored) == count
    assert (scored[0], scored[-1]) == (1, COUNT - 1)
    assert ("leaves room to evaluate" in caplog.text) == (count < 29)
