"""Labels and split of a run, and what its configuration leaves to them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from shoal_core.errors import InvalidArgument
from shoal_training.config import DataConfig, TrainingConfig
from shoal_training.config_checks import CROP_KINDS, ID_KINDS, check_config, max_stride
from shoal_training.label_checks import checked_labels
from shoal_training.labelled_set import LabelledSet, read_labelled_set
from shoal_training.sample_source import anchor_node, crop_size_px
from shoal_training.splits import Split, draw_split

_LOG = logging.getLogger(__name__)
SIZE_TO_FIND_PX = 24
"""Of an animal in the network's input, where the configuration leaves its scale to the labels."""
CROPS_IN_WINDOW = 1.5
"""Side of a window, where it is left to the labels, to that of a crop: an animal and neighbours."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a run learns from; `with` closes its videos."""

    labelled: LabelledSet
    split: Split
    config: TrainingConfig
    """With scale, crop size, channels and classes as the labels have them."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.labelled.close()


def open_training_data(config: TrainingConfig, folder: Path) -> TrainingData:
    """Returns the labels of a configuration, divided.

    Files of labels for validation and test are added to the split that is drawn from the others;
    a frame that they hold too is not trained on.

    Args:
        config: Checked here.
        folder: What paths of labels are relative to: the configuration's.

    Raises:
        ShoalError: as `check_config`, `read_labelled_set`, `checked_labels` and `draw_split`;
            InvalidArgument FRAMES_UNKNOWN when `data.frames` names labelled frames that there
            are not.
    """
    check_config(config)
    data = config.data
    names = (*data.labels, *data.validation_labels, *data.test_labels)
    labelled = read_labelled_set(
        [folder / name for name in names], channels=data.channels, classes=config.heads.classes
    )
    labelled = checked_labels(_chosen(labelled, data), config)
    first_test = len(data.labels) + len(data.validation_labels)
    training, validation, test = (
        _of_files(labelled, range(start, stop))
        for start, stop in pairwise((0, len(data.labels), first_test, len(names)))
    )
    drawn = draw_split(
        labelled,
        replace(
            data.split,
            validation_fraction=0.0 if validation else data.split.validation_fraction,
            test_fraction=0.0 if test else data.split.test_fraction,
        ),
        candidates=_apart(labelled, training, (*validation, *test)),
        limit=data.limit,
    )
    split = Split(
        training=drawn.training,
        validation=(*drawn.validation, *_apart(labelled, validation, test)),
        test=(*drawn.test, *test),
    )
    return TrainingData(labelled, split, _resolved(config, labelled))


def _chosen(labelled: LabelledSet, data: DataConfig) -> LabelledSet:
    """Returns the labels with those frames of `data.labels` that `data.frames` names."""
    if not data.frames:
        return labelled
    own = _of_files(labelled, range(len(data.labels)))
    if max(data.frames) >= len(own):
        raise InvalidArgument(
            "FRAMES_UNKNOWN",
            f"data.frames names labelled frame {max(data.frames)}; data.labels have {len(own)}, "
            "counted from 0.",
            frame_index=max(data.frames),
        )
    others = [frame for frame in labelled.frames if frame.file_index >= len(data.labels)]
    return labelled.with_frames(
        [labelled.frames[own[index]] for index in sorted(data.frames)] + others
    )


def _of_files(labelled: LabelledSet, files: range) -> tuple[int, ...]:
    """Returns the indices of the frames that are from some of the files of labels."""
    return tuple(index for index, frame in enumerate(labelled.frames) if frame.file_index in files)


def _apart(
    labelled: LabelledSet, indices: Sequence[int], kept_out: Sequence[int]
) -> tuple[int, ...]:
    """Returns the frames that are not also among those kept out, by what they show."""
    shown = {labelled.identity_of(labelled.frames[index]) for index in kept_out}
    apart = tuple(
        index for index in indices if labelled.identity_of(labelled.frames[index]) not in shown
    )
    if len(apart) < len(indices):
        _LOG.warning(
            "%d labelled frames are in files of labels with another purpose too (validation, "
            "test): they are used for that only.",
            len(indices) - len(apart),
        )
    return apart


def _resolved(config: TrainingConfig, labelled: LabelledSet) -> TrainingConfig:
    data = replace(config.data, channels=labelled.channels)
    if data.input_scale is None:
        data = replace(data, input_scale=_scale_to_find(labelled))
    anchor_node(labelled, data.anchor_part)
    if config.kind in CROP_KINDS:
        side = data.crop_size_px or _crop_size_px(config, data, labelled)
        _warn_of_small_frames(labelled, side)
        data = replace(data, crop_size_px=side)
    if data.window_px is None:
        side = _crop_size_px(config, data, labelled)
        data = replace(data, window_px=round(CROPS_IN_WINDOW * side * data.scale))
    classes = labelled.classes if config.kind in ID_KINDS else ()
    return replace(config, data=data, heads=replace(config.heads, classes=classes))


def _crop_size_px(config: TrainingConfig, data: DataConfig, labelled: LabelledSet) -> int:
    stride = max_stride(config.network)
    return crop_size_px(labelled, data.anchor_part, input_scale=data.scale, stride=stride)


def _scale_to_find(labelled: LabelledSet) -> float:
    """Returns the factor, 1 or a multiple of 1/32 below, at which animals are just large enough."""
    middle_px = float(np.median(labelled.animal_sizes_px()))
    return max(1.0, min(32.0, round(32 * SIZE_TO_FIND_PX / max(middle_px, 1.0)))) / 32


def _warn_of_small_frames(labelled: LabelledSet, side: int) -> None:
    height, width = np.min([labelled.frame_size_px(frame) for frame in labelled.frames], axis=0)
    if side > min(height, width):
        _LOG.warning(
            "Crops of %d px are larger than the smallest frame (%d x %d): the rest is black.",
            side,
            width,
            height,
        )
