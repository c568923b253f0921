"""The samples of some labelled frames: whole frames, or a crop around each animal.

Axis legend: I instances, N nodes, H W pixels, C channels, 2 = (x, y).
"""

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shoal_core.coordinates import crop_origins, instance_centroids
from shoal_core.errors import InvalidArgument
from shoal_training.config import AugmentConfig, DataConfig, TrainingConfig
from shoal_training.config_checks import CROP_KINDS
from shoal_training.cutting import (
    cut_crop,
    padded_to,
    scale_image,
    side_with_margin,
    up_to_stride,
)
from shoal_training.labelled_set import LabelledFrame, LabelledSet
from shoal_training.sample_store import CacheRoom, open_store
from shoal_training.samples import Sample

CROP_PADDING_PX = 16
"""Around the largest animal, as SLEAP's profiles have it."""


@dataclass(frozen=True, eq=False)
class _Place:
    """Where a sample comes from."""

    frame: LabelledFrame
    rows_I: NDArray[np.intp]
    """Of the animals, the one that is cut out first."""
    origin_px_2: NDArray[np.float32]
    """Frame pixel on which the sample's pixel (0, 0) lies."""


class SampleSource:
    """Samples by index, in the order of the frames; `with` frees what is kept of them.

    Several threads may ask at once. Unless nothing is to be kept, all frames are decoded here:
    one that is damaged is left out, with a warning.

    Args:
        labelled: The frames.
        frame_indices: Those that samples are made of.
        config: Kind, scale, crop size (resolved), anchor, cache; and how much is augmented.
        stride: The network's input is a multiple of it.
        augment: What will be done to the samples, which have room for it then and no certain
            size; None: they are `size_hw`, as serving shows them to the network.
        room: Where they are kept.
        heartbeat: Called after every frame that was decoded.

    Raises:
        InvalidArgument: FRAMES_DAMAGED when no frame that is to be augmented (trained on) can be
            read.
        ResourceExhausted: DISK_FULL.
    """

    def __init__(
        self,
        labelled: LabelledSet,
        frame_indices: Sequence[int],
        config: TrainingConfig,
        *,
        stride: int,
        augment: AugmentConfig | None,
        room: CacheRoom,
        heartbeat: Callable[[], None] = lambda: None,
    ) -> None:
        self._labelled = labelled
        self._scale = config.data.scale
        self.anchor_node = anchor_node(labelled, config.data.anchor_part)
        frames = [labelled.frames[index] for index in frame_indices]
        self._crop_size_px: int | None = None
        if config.kind in CROP_KINDS:
            self._crop_size_px = config.data.crop_size_px or crop_size_px(
                labelled, config.data.anchor_part, input_scale=self._scale, stride=stride
            )
        self._frame_hw = input_size_hw(labelled, self._crop_size_px, self._scale, stride)
        self.size_hw = self._frame_hw
        """Height and width of what the network is shown."""
        if augment is not None:
            self.size_hw = window_size_hw(self._frame_hw, config.data, stride)
        self._augmented = augment is not None
        self._cut_px = self._crop_size_px or 0
        if augment is not None:
            self._cut_px = math.ceil(side_with_margin(self.size_hw[0], augment) / self._scale)
        expected_bytes = self._expected_bytes(frames)
        self._store = open_store(config.data.cache, room, expected_bytes, self._make)
        if config.data.cache == "none":
            self._places = [place for frame in frames for place in self._all_places(frame)]
        else:
            with ExitStack() as on_failure:
                on_failure.callback(self._store.close)
                self._places = self._keep(frames, heartbeat)
                on_failure.pop_all()

    def __len__(self) -> int:
        """Returns the number of samples."""
        return len(self._places)

    @property
    def channels(self) -> int:
        """Of the images."""
        return self._labelled.channels

    def sample(self, index: int) -> Sample:
        """Returns a sample, whose arrays the caller does not change."""
        place = self._places[index]
        points_IN2 = place.frame.points_px_IN2[place.rows_I] - place.origin_px_2
        return Sample(
            image_HWC=self._store.get(index),
            points_px_IN2=points_IN2 * np.float32(self._scale),
            class_indices_I=place.frame.class_indices_I[place.rows_I],
        )

    def frame(self, index: int) -> LabelledFrame:
        """Returns the frame that a sample is of."""
        return self._places[index].frame

    def close_videos(self) -> None:
        """Closes the videos; reading a frame opens them again."""
        self._labelled.close()

    def close(self) -> None:
        """Frees what is kept of the frames."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _expected_bytes(self, frames: Sequence[LabelledFrame]) -> int:
        """Returns about how much all images take that are kept."""
        if self._crop_size_px is None:
            height, width = self._frame_hw
            return len(frames) * height * width * self.channels
        count = sum(len(frame.points_px_IN2) for frame in frames)
        return count * int(self._cut_px * self._scale) ** 2 * self.channels

    def _all_places(self, frame: LabelledFrame) -> list[_Place]:
        rows_I = np.arange(len(frame.points_px_IN2))
        if self._crop_size_px is None:
            return [_Place(frame, rows_I, np.zeros(2, np.float32))]
        centers_I2 = instance_centroids(frame.points_px_IN2, self.anchor_node)
        origins_I2 = crop_origins(centers_I2, self._cut_px).astype(np.float32)
        if self._augmented:
            # What comes is warped: pixels that are interpolated here would be blurred twice.
            origins_I2 = np.round(origins_I2)
        return [
            _Place(frame, np.concatenate(([row], rows_I[rows_I != row])), origins_I2[row])
            for row in rows_I
        ]

    def _keep(self, frames: Sequence[LabelledFrame], heartbeat: Callable[[], None]) -> list[_Place]:
        """Returns the places whose pixels are now in the store."""
        kept: list[_Place] = []
        for frame in frames:
            image_HWC = self._labelled.readable_image(frame)
            heartbeat()
            if image_HWC is not None:
                places = self._all_places(frame)
                for place in places:
                    self._store.put(self._cut(place, image_HWC))
                kept += places
        if not kept and frames and self._augmented:
            raise InvalidArgument(
                "FRAMES_DAMAGED",
                f"Of the labelled frames none can be read, from {self._labelled.name_of(frames[0])}"
                " on; copy the videos again.",
            )
        return kept

    def _make(self, index: int) -> NDArray[np.uint8]:
        place = self._places[index]
        return self._cut(place, self._labelled.image(place.frame))

    def _cut(self, place: _Place, image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._crop_size_px is not None:
            image_HWC = cut_crop(image_HWC, place.origin_px_2, self._cut_px)
        scaled_HWC = scale_image(image_HWC, self._scale)
        return scaled_HWC if self._augmented else padded_to(scaled_HWC, self._frame_hw)


def input_size_hw(
    labelled: LabelledSet, crop_size_px: int | None, input_scale: float, stride: int
) -> tuple[int, int]:
    """Returns height and width of the network's input: that hold the crop, or every frame.

    Args:
        labelled: Whose frames are seen where there are no crops.
        crop_size_px: Side of the crop in frame pixels; None: whole frames.
        input_scale: Factor from frame pixels to those of the input.
        stride: Of which they are multiples.
    """
    if crop_size_px is not None:
        height = width = crop_size_px
    else:
        sizes = [labelled.frame_size_px(frame) for frame in labelled.frames]
        height, width = (max(each) for each in zip(*sizes, strict=True))
    return (
        up_to_stride(int(height * input_scale), stride),
        up_to_stride(int(width * input_scale), stride),
    )


def window_size_hw(frame_hw: tuple[int, int], data: DataConfig, stride: int) -> tuple[int, int]:
    """Returns height and width of what training sees of an input of the size `frame_hw`."""
    if not data.window_px:
        return frame_hw
    side = up_to_stride(data.window_px, stride)
    return min(side, frame_hw[0]), min(side, frame_hw[1])


def anchor_node(labelled: LabelledSet, anchor_part: str | None) -> int | None:
    """Returns the index of the anchor part.

    Raises:
        InvalidArgument: ANCHOR_UNKNOWN when the skeleton has no such node.
    """
    nodes = labelled.skeleton.nodes
    if anchor_part is None:
        return None
    if anchor_part not in nodes:
        raise InvalidArgument(
            "ANCHOR_UNKNOWN",
            f"data.anchor_part is {anchor_part!r}; the nodes are {', '.join(nodes)}.",
            anchor_part=anchor_part,
        )
    return nodes.index(anchor_part)


def crop_size_px(
    labelled: LabelledSet, anchor_part: str | None, *, input_scale: float, stride: int
) -> int:
    """Returns the side of crops in frame pixels that hold every labelled animal.

    The largest distance along x or y from where an animal is cut out to one of its nodes, to
    either side, and `CROP_PADDING_PX` more in all (SLEAP adds as much to the largest bounding
    box, which does not hold an animal whose anchor is not in its middle); then up to what makes
    the network's input a multiple of its stride.
    """
    node = anchor_node(labelled, anchor_part)
    reach = 0.0
    for frame in labelled.frames:
        centers_I2 = instance_centroids(frame.points_px_IN2, node)
        away_IN2 = np.abs(frame.points_px_IN2 - centers_I2[:, None])
        reach = max(reach, float(np.nanmax(away_IN2)))
    side = up_to_stride((2 * reach + 1 + CROP_PADDING_PX) * input_scale, stride)
    return math.ceil(side / input_scale)
