"""The frames that a run's figures are of."""

import logging
import time
from collections.abc import Callable, Sequence

from shoal_training.predict import Predictor
from shoal_training.scored_frames import ScoredFrame, score_frames
from shoal_training.spread import spread
from shoal_training.training_data import TrainingData

LOGGER = logging.getLogger(__name__)
PROBE = 8
"""Frames that are scored however long it takes; the time of the others follows from them."""


def score_held_out(
    data: TrainingData,
    predictor: Predictor,
    limit_s: float | None,
    heartbeat: Callable[[], None],
    clock: Callable[[], float] = time.monotonic,
) -> list[ScoredFrame]:
    """Returns the frames that were kept for figures, with what the network finds in them.

    Those of the test, else of the validation, else of the training; of frames that can be read.

    Args:
        data: Labels and split.
        predictor: The network.
        limit_s: Time that it may take, about; where that is not enough for all frames, fewer are
            scored, spread over all. None: no limit.
        heartbeat: Called after every frame.
        clock: Monotonic seconds.
    """
    split = data.split
    for indices in (split.test, split.validation, split.training):
        if indices is split.training:
            LOGGER.warning(
                "No frame is held out: the figures are of frames that were trained on, and say "
                "little."
            )
        chosen = _affordable(data, predictor, indices, limit_s, heartbeat, clock)
        scored = score_frames(predictor, data.labelled, chosen, heartbeat=heartbeat)
        if scored:
            return scored
    return []


def _affordable(
    data: TrainingData,
    predictor: Predictor,
    indices: Sequence[int],
    limit_s: float | None,
    heartbeat: Callable[[], None],
    clock: Callable[[], float],
) -> Sequence[int]:
    """Returns as many of the frames as can be scored in time."""
    if limit_s is None or len(indices) <= PROBE:
        return indices
    begin_s = clock()
    score_frames(predictor, data.labelled, spread(indices, PROBE), heartbeat=heartbeat)
    frame_s = (clock() - begin_s) / PROBE
    if frame_s * len(indices) <= limit_s:
        return indices
    count = max(PROBE, int(limit_s / frame_s))
    LOGGER.warning(
        "The time budget leaves room to evaluate %d of %d held-out frames; "
        "`python -m shoal_training.evaluate` scores all.",
        count,
        len(indices),
    )
    return spread(indices, count)
