"""Which labelled frames are trained on, validated on and kept for the test.

A split is written into the run's folder; a run that goes on must have the same.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from shoal_core.errors import InvalidArgument
from shoal_training.config import SplitConfig
from shoal_training.durable import write_durably
from shoal_training.labelled_set import LabelledSet


@dataclass(frozen=True)
class Split:
    """Indices into `LabelledSet.frames`, each increasing; no frame is in two of them."""

    training: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]

    def __post_init__(self) -> None:
        indices = (*self.training, *self.validation, *self.test)
        if len(set(indices)) != len(indices):
            raise InvalidArgument(
                "SPLIT_INVALID", "A labelled frame is in two parts of the split; draw it again."
            )
        if not self.training:
            raise InvalidArgument(
                "SPLIT_INVALID",
                "No labelled frame is left to train on; label more frames, or lower "
                "data.split.validation_fraction and data.split.test_fraction.",
            )


def draw_split(
    labelled: LabelledSet,
    config: SplitConfig,
    *,
    candidates: Sequence[int],
    limit: int | None = None,
) -> Split:
    """Returns a split that follows from the frames, the configuration and its seed alone.

    A fraction that is not 0 gets a frame (or video) at least where two are left. A limit draws
    from the training frames only, so that runs with other limits validate on the same frames;
    the frames of a smaller limit are among those of a larger one.

    Args:
        labelled: The frames.
        config: Fractions, and whether frames or videos are drawn.
        candidates: Indices of the frames that are drawn from.
        limit: Most training frames; None: all.

    Raises:
        InvalidArgument: SPLIT_INVALID when nothing is left to train on.
    """
    rng = np.random.default_rng(config.seed)
    groups = _groups(labelled, config, candidates)
    order = [groups[index] for index in rng.permutation(len(groups))]
    test_count = _count(config.test_fraction, len(order), len(order) - 1)
    validation_count = _count(config.validation_fraction, len(order), len(order) - 1 - test_count)
    held = test_count + validation_count
    training = [index for group in order[held:] for index in group]
    if limit is not None:
        training = [training[index] for index in rng.permutation(len(training))[:limit]]
    return Split(
        training=tuple(sorted(training)),
        validation=_flat(order[test_count:held]),
        test=_flat(order[:test_count]),
    )


def write_split(split: Split, path: Path) -> None:
    """Writes a split as JSON.

    Raises:
        ResourceExhausted: DISK_FULL.
    """
    write_durably(path, (json.dumps(asdict(split)) + "\n").encode())


def read_split(path: Path, *, frame_count: int) -> Split:
    """Returns a split that `write_split` wrote.

    Raises:
        InvalidArgument: SPLIT_INVALID when it is damaged, or of other labels.
    """
    try:
        parts = json.loads(path.read_text())
        split = Split(**{name: tuple(map(int, indices)) for name, indices in parts.items()})
    except (OSError, TypeError, ValueError, AttributeError) as error:
        raise InvalidArgument(
            "SPLIT_INVALID",
            f"{path} cannot be read as a split ({error}); start the run in a new folder.",
            path=path,
        ) from error
    indices = (*split.training, *split.validation, *split.test)
    if min(indices) < 0 or max(indices) >= frame_count:
        raise InvalidArgument(
            "SPLIT_INVALID",
            f"{path} names labelled frame {max(indices)}, but the labels have {frame_count}; "
            "start the run in a new folder, or with the labels that it began with.",
            path=path,
        )
    return split


def _groups(
    labelled: LabelledSet, config: SplitConfig, candidates: Sequence[int]
) -> list[tuple[int, ...]]:
    """Returns what is drawn as a whole: frames, or all frames of a video."""
    if config.by == "frame":
        return _same_frames(labelled, candidates)
    by_video: dict[object, list[int]] = {}
    for index in candidates:
        video = labelled.videos[labelled.frames[index].video_index]
        # The same recording in two files of labels is one video.
        by_video.setdefault(video.identity, []).append(index)
    return [tuple(group) for group in by_video.values()]


def _same_frames(labelled: LabelledSet, candidates: Sequence[int]) -> list[tuple[int, ...]]:
    """Returns the frames, those that two files of labels have both labelled as one."""
    by_frame: dict[object, list[int]] = {}
    for index in candidates:
        key = labelled.identity_of(labelled.frames[index])
        by_frame.setdefault(key, []).append(index)
    return [tuple(group) for group in by_frame.values()]


def _count(fraction: float, total: int, most: int) -> int:
    if fraction <= 0:
        return 0
    return max(min(max(1, math.floor(fraction * total + 0.5)), most), 0)


def _flat(groups: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sorted(index for group in groups for index in group))
