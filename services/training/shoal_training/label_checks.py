"""What labels may lack: told before training, while it is cheap to label more.

Axis legend: I instances, N nodes, 2 = (x, y).
"""

import logging
from dataclasses import replace

import numpy as np

from shoal_core.errors import InvalidArgument
from shoal_training.config import TrainingConfig
from shoal_training.config_checks import ID_KINDS
from shoal_training.labelled_set import NO_CLASS, LabelledFrame, LabelledSet

_LOG = logging.getLogger(__name__)


def checked_labels(labelled: LabelledSet, config: TrainingConfig) -> LabelledSet:
    """Returns the labels without points outside of their images, after warnings of what is odd.

    Raises:
        InvalidArgument: SKELETON_WITHOUT_EDGES, ANIMALS_SEVERAL, TRACKS_MISSING or CLASS_EMPTY
            when the kind of model cannot be trained on them; LABELS_EMPTY when no point is left.
    """
    _check_kind(labelled, config)
    inside = _inside(labelled)
    if config.kind in ID_KINDS:
        inside = _checked_classes(inside, config)
    _warn_of_nodes(inside)
    if len(inside.frames) == 1:
        _LOG.warning(
            "%s is the only labelled frame: nothing is left to validate on, and the network will "
            "know this frame only; label more.",
            inside.name_of(inside.frames[0]),
        )
    return inside


def _check_kind(labelled: LabelledSet, config: TrainingConfig) -> None:
    if config.kind == "bottomup" and not labelled.skeleton.edges:
        raise InvalidArgument(
            "SKELETON_WITHOUT_EDGES",
            f"Skeleton {labelled.skeleton.name!r} has no edges, by which bottom-up models join "
            "nodes; add edges to it, or train a top-down model.",
        )
    if config.kind != "single_instance":
        return
    for frame in labelled.frames:
        count = len(frame.points_px_IN2)
        if count > 1:
            raise InvalidArgument(
                "ANIMALS_SEVERAL",
                f"{labelled.name_of(frame)} has {count} animals, but single-instance models find "
                "one; train a top-down or bottom-up model.",
                frame_index=frame.frame_index,
            )


def _inside(labelled: LabelledSet) -> LabelledSet:
    """Returns the labels with points outside of the images as not visible."""
    frames: list[LabelledFrame] = []
    lost_count = 0
    for frame in labelled.frames:
        height, width = labelled.frame_size_px(frame)
        points_IN2 = frame.points_px_IN2
        # A pixel reaches half a pixel to every side of its centre; SLEAP's own labels use it all.
        high_2 = np.array((width - 0.5, height - 0.5))
        is_low_IN2, is_high_IN2 = points_IN2 >= -0.5, points_IN2 <= high_2
        within_IN = np.asarray((is_low_IN2 & is_high_IN2).all(axis=2), np.bool_)
        outside_IN = ~within_IN & ~np.isnan(points_IN2).any(axis=2)
        lost_count += int(outside_IN.sum())
        kept_I = within_IN.any(axis=1)
        if outside_IN.any():
            points_IN2 = np.where(outside_IN[..., None], np.float32(np.nan), points_IN2)
        if kept_I.any():
            frames.append(
                replace(
                    frame,
                    points_px_IN2=points_IN2[kept_I],
                    class_indices_I=frame.class_indices_I[kept_I],
                )
            )
    if lost_count:
        _LOG.warning(
            "%d labelled points lie outside of their images: these nodes count as not visible.",
            lost_count,
        )
    if not frames:
        raise InvalidArgument(
            "LABELS_EMPTY",
            "All labelled points lie outside of their images; check that the labels belong to "
            f"{labelled.videos[0].path}.",
        )
    return labelled.with_frames(frames)


def _checked_classes(labelled: LabelledSet, config: TrainingConfig) -> LabelledSet:
    """Returns the labels with the classes that some animal has."""
    classes = np.concatenate([frame.class_indices_I for frame in labelled.frames])
    nameless_count = int((classes == NO_CLASS).sum())
    if nameless_count == len(classes):
        raise InvalidArgument(
            "TRACKS_MISSING",
            "No labelled animal has a track, by which models with identities know it; assign "
            "tracks, or train a model without identities.",
        )
    if nameless_count:
        _LOG.warning(
            "%d of %d labelled animals have no track: nothing is learned about who they are.",
            nameless_count,
            len(classes),
        )
    present = [index for index in range(len(labelled.classes)) if (classes == index).any()]
    empty = [name for index, name in enumerate(labelled.classes) if index not in present]
    if not empty:
        return labelled
    if config.heads.classes:
        raise InvalidArgument(
            "CLASS_EMPTY",
            f"No labelled animal has the track {empty[0]!r} of heads.classes; label some, or "
            "leave it out.",
            name=empty[0],
        )
    _LOG.warning("No labelled animal has the track %s: left out.", ", ".join(empty))
    return labelled.with_classes(present)


def _warn_of_nodes(labelled: LabelledSet) -> None:
    seen_N = np.zeros(len(labelled.skeleton.nodes), bool)
    for frame in labelled.frames:
        seen_N |= (~np.isnan(frame.points_px_IN2).any(axis=2)).any(axis=0)
    for node, seen in zip(labelled.skeleton.nodes, seen_N, strict=True):
        if not seen:
            _LOG.warning("Node %s is never labelled: the network will not find it.", node)
