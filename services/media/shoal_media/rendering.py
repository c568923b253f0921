"""Draws poses on frames: edges, nodes, fading trails and names, one colour per track.

Axis legend: I instances, N nodes, 2 = (x, y), H height, W width, C channels, T points of a
trail, oldest first.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from shoal_core.pose import NO_TRACK, FramePoses
from shoal_core.skeleton import Skeleton
from shoal_media.frames import with_channels

Rgb = tuple[int, int, int]

PALETTE: tuple[Rgb, ...] = (
    (0, 170, 255),
    (255, 132, 0),
    (64, 208, 112),
    (238, 64, 148),
    (250, 214, 48),
    (156, 104, 255),
    (38, 218, 214),
    (244, 76, 60),
    (172, 226, 54),
    (255, 158, 196),
    (86, 128, 255),
    (214, 170, 110),
)
"""Colours that stay apart from each other on gray and on coloured frames."""

_HALO: Rgb = (16, 18, 24)
_TRAIL_OPACITY = 220
_FRACTION_BITS = 4  # OpenCV draws at 1/16 px


@dataclass(frozen=True)
class RenderStyle:
    """How poses look; the defaults suit any frame size."""

    scale: float = 1.0
    """Output pixels per input pixel; drawn after scaling, so lines stay sharp."""
    size: float = 1.0
    """Thickness of everything drawn, as a factor on what suits the frame."""
    trail_frame_count: int = 40
    """Frames for which a trail stays; 0 draws none."""
    trail_node: int | None = None
    """Node whose path is the trail; None takes the mean of the visible nodes."""
    has_labels: bool = False
    """Whether the track's name stands beside the animal."""
    palette: tuple[Rgb, ...] = field(default=PALETTE)
    """Track k has colour k modulo the palette's length."""


class PoseRenderer:
    """Draws frame after frame; remembers recent positions for the trails."""

    def __init__(
        self,
        skeleton: Skeleton,
        track_names: Sequence[str] = (),
        *,
        style: RenderStyle | None = None,
    ) -> None:
        self._skeleton = skeleton
        self._track_names = tuple(track_names)
        self._style = style or RenderStyle()
        self._trails: dict[int, deque[tuple[int, NDArray[np.float64]]]] = {}
        self._last_frame_index = -1

    def draw(self, frame_HWC: NDArray[np.uint8], poses: FramePoses) -> NDArray[np.uint8]:
        """Returns the frame in RGB, [H * scale, W * scale, 3], with the poses on it.

        Args:
            frame_HWC: The gray or RGB frame that the poses belong to; stays unchanged.
            poses: Frames may be left out; going back to an earlier frame clears the trails.
        """
        self._remember(poses)
        canvas_HW3 = self._canvas(frame_HWC)
        unit = self._style.size * max(1.0, min(canvas_HW3.shape[:2]) / 420)
        self._draw_trails(canvas_HW3, unit)
        for instance in range(poses.instance_count):
            points_N2 = self._on_canvas(poses.points_px_IN2[instance])
            self._draw_pose(canvas_HW3, points_N2, self._color(poses, instance), unit)
        if self._style.has_labels:
            for instance in range(poses.instance_count):
                self._draw_label(canvas_HW3, poses, instance, unit)
        return canvas_HW3

    def _canvas(self, frame_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        rgb_HW3 = with_channels(frame_HWC, 3)
        scale = self._style.scale
        if scale == 1:
            return rgb_HW3.copy() if rgb_HW3 is frame_HWC else rgb_HW3
        size = (round(rgb_HW3.shape[1] * scale), round(rgb_HW3.shape[0] * scale))
        way = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
        return np.asarray(cv2.resize(rgb_HW3, size, interpolation=way), np.uint8)

    def _on_canvas(self, points_px_N2: NDArray[np.floating]) -> NDArray[np.float64]:
        """Returns canvas coordinates; pixel centres are integers before and after scaling."""
        return (points_px_N2.astype(np.float64) + 0.5) * self._style.scale - 0.5

    def _color(self, poses: FramePoses, instance: int) -> Rgb:
        track = int(poses.track_indices_I[instance])
        number = instance if track == NO_TRACK else track
        return self._style.palette[number % len(self._style.palette)]

    def _remember(self, poses: FramePoses) -> None:
        if poses.frame_index <= self._last_frame_index:
            self._trails.clear()
        self._last_frame_index = poses.frame_index
        for instance, track in enumerate(poses.track_indices_I.tolist()):
            position_2 = self._trail_position(poses.points_px_IN2[instance])
            if track != NO_TRACK and np.isfinite(position_2).all():
                self._trails.setdefault(track, deque()).append((poses.frame_index, position_2))
        oldest = poses.frame_index - self._style.trail_frame_count
        for track in list(self._trails):
            trail = self._trails[track]
            while trail and trail[0][0] < oldest:
                trail.popleft()
            if not trail:
                del self._trails[track]

    def _trail_position(self, points_px_N2: NDArray[np.float32]) -> NDArray[np.float64]:
        if self._style.trail_node is not None:
            return np.asarray(points_px_N2[self._style.trail_node], np.float64)
        visible_N2 = points_px_N2[np.isfinite(points_px_N2).all(axis=1)]
        if not len(visible_N2):
            return np.full(2, np.nan)
        return np.asarray(visible_N2.mean(axis=0), np.float64)

    def _draw_trails(self, canvas_HW3: NDArray[np.uint8], unit: float) -> None:
        """Blends the trails in: the older a stretch, the fainter."""
        if self._style.trail_frame_count == 0:
            return
        for track, trail in self._trails.items():
            points_T2 = self._on_canvas(np.array([position_2 for _, position_2 in trail]))
            ages_T = np.array([self._last_frame_index - frame_index for frame_index, _ in trail])
            freshness_T = 1 - ages_T / (self._style.trail_frame_count + 1)
            color = self._style.palette[track % len(self._style.palette)]
            _blend_trail(canvas_HW3, points_T2, freshness_T, color, max(1, round(0.9 * unit)))

    def _draw_pose(
        self, canvas_HW3: NDArray[np.uint8], points_N2: NDArray[np.float64], color: Rgb, unit: float
    ) -> None:
        is_visible_N = np.asarray(np.isfinite(points_N2).all(axis=1))
        ends = [
            (_fixed(points_N2[source]), _fixed(points_N2[destination]))
            for source, destination in self._skeleton.edges
            if is_visible_N[source] and is_visible_N[destination]
        ]
        thickness = max(1, round(0.8 * unit))
        for start, end in ends:
            _line(canvas_HW3, start, end, _HALO, thickness + max(1, round(0.5 * unit)) * 2)
        for start, end in ends:
            _line(canvas_HW3, start, end, color, thickness)
        light = _mixed(color, (255, 255, 255), 0.55)
        for point_2 in points_N2[is_visible_N]:
            for radius, ink in ((1.9, _HALO), (1.45, color), (0.75, light)):
                _disc(canvas_HW3, _fixed(point_2), radius * unit, ink)

    def _draw_label(
        self, canvas_HW3: NDArray[np.uint8], poses: FramePoses, instance: int, unit: float
    ) -> None:
        track = int(poses.track_indices_I[instance])
        points_N2 = self._on_canvas(poses.points_px_IN2[instance])
        visible_N2 = points_N2[np.isfinite(points_N2).all(axis=1)]
        if track == NO_TRACK or not len(visible_N2):
            return
        is_named = track < len(self._track_names)
        name = self._track_names[track] if is_named else f"track {track}"
        font, font_scale = cv2.FONT_HERSHEY_DUPLEX, 0.42 * unit
        (width, height), _ = cv2.getTextSize(name, font, font_scale, 1)
        top_left = visible_N2.min(axis=0) - (0, 3 * unit)
        x = int(np.clip(top_left[0], 2, max(2, canvas_HW3.shape[1] - width - 2)))
        y = int(np.clip(top_left[1], height + 2, canvas_HW3.shape[0] - 3))
        thickness = max(1, round(0.5 * unit))
        inks = ((_HALO, thickness + max(2, round(unit))), (self._color(poses, instance), thickness))
        for ink, width_px in inks:
            cv2.putText(canvas_HW3, name, (x, y), font, font_scale, ink, width_px, cv2.LINE_AA)


def _blend_trail(
    canvas_HW3: NDArray[np.uint8],
    points_T2: NDArray[np.float64],
    freshness_T: NDArray[np.float64],
    color: Rgb,
    thickness: int,
) -> None:
    """Blends a line through the points into the canvas; freshness 1 is most opaque."""
    height, width, _ = canvas_HW3.shape
    left, top = np.clip(points_T2.min(axis=0) - thickness - 2, 0, (width, height)).astype(int)
    right, bottom = np.clip(points_T2.max(axis=0) + thickness + 3, 0, (width, height)).astype(int)
    if left >= right or top >= bottom:
        return
    patch_HW3 = canvas_HW3[top:bottom, left:right]
    opacity_HW = np.zeros(patch_HW3.shape[:2], np.uint8)
    corners = [_fixed(point_2 - (left, top)) for point_2 in points_T2]
    for start, end, freshness in zip(corners, corners[1:], freshness_T[1:], strict=False):
        _line(opacity_HW, start, end, int(_TRAIL_OPACITY * freshness), thickness)
    weight_HW = opacity_HW.astype(np.float32) / 255
    ink_HW3 = np.full_like(patch_HW3, color)
    patch_HW3[:] = cv2.blendLinear(ink_HW3, patch_HW3.copy(), weight_HW, 1 - weight_HW)


def _fixed(point_2: NDArray[np.float64]) -> tuple[int, int]:
    """Returns the point in OpenCV's fixed point, kept within what its integers can hold."""
    x, y = np.clip(np.rint(point_2 * (1 << _FRACTION_BITS)), -(1 << 24), 1 << 24)
    return int(x), int(y)


def _line(
    canvas: NDArray[np.uint8],
    start: tuple[int, int],
    end: tuple[int, int],
    ink: Rgb | int,
    thickness: int,
) -> None:
    color = (ink,) if isinstance(ink, int) else ink
    cv2.line(canvas, start, end, color, thickness, cv2.LINE_AA, _FRACTION_BITS)


def _disc(canvas: NDArray[np.uint8], center: tuple[int, int], radius_px: float, ink: Rgb) -> None:
    radius = max(1, round(radius_px * (1 << _FRACTION_BITS)))
    cv2.circle(canvas, center, radius, ink, cv2.FILLED, cv2.LINE_AA, _FRACTION_BITS)


def _mixed(first: Rgb, second: Rgb, share: float) -> Rgb:
    red, green, blue = (
        round(a * (1 - share) + b * share) for a, b in zip(first, second, strict=True)
    )
    return red, green, blue
