"""A world of rodent-like animals seen from above, with its truth.

Each animal's nose runs along a smooth path and the body follows the nose along that path, so
that it bends as a real spine does. Animals head for random places and often for each other:
they cross. The one that is drawn above hides nodes of the one below; shelters hide whatever
is under them.

Axis legend: A animals, N nodes, S points along the spine, T frames, I instances that can be
seen, 2 = (x, y). Frame pixels.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument, OutOfRange
from shoal_core.pose import FramePoses
from shoal_core.skeleton import Skeleton
from shoal_core.synthetic.motion import wander
from shoal_core.synthetic.rendering import Animal, Picture

SKELETON = Skeleton(
    name="rodent",
    nodes=("nose", "ear_left", "ear_right", "neck", "body", "tail_base", "tail_mid", "tail_tip"),
    edges=((3, 0), (3, 1), (3, 2), (3, 4), (4, 5), (5, 6), (6, 7)),
    symmetries=((1, 2),),
)

_BEHIND_N = np.array([0.0, 0.20, 0.20, 0.28, 0.62, 1.0, 1.35, 1.7])
"""How far behind the nose each node sits, in body lengths (nose to tail base)."""
_BESIDE_N = np.array([0.0, -0.105, 0.105, 0.0, 0.0, 0.0, 0.0, 0.0])
"""How far to the side, in body lengths; positive is the animal's right."""

_OUTLINE_BEHIND_S = np.concatenate((np.linspace(0, 1.05, 22), np.linspace(1.15, 1.7, 6)))
_OUTLINE_RADII_S = np.interp(
    _OUTLINE_BEHIND_S,
    [0.0, 0.05, 0.12, 0.2, 0.3, 0.45, 0.6, 0.72, 0.85, 0.95, 1.02, 1.1, 1.35, 1.7],
    [0.02, 0.04, 0.065, 0.08, 0.09, 0.13, 0.16, 0.162, 0.13, 0.08, 0.035, 0.026, 0.021, 0.010],
)
"""Half width of the body along the spine, in body lengths."""
_TRUNK = slice(2, 19)
"""The part of the outline that is thick enough to hide a node."""


@dataclass(frozen=True)
class WorldConfig:
    """What a world contains; the same configuration is the same world, bit for bit.

    Raises:
        InvalidArgument: WORLD_INVALID when there is nothing to draw.
    """

    frame_count: int = 300
    height_px: int = 384
    width_px: int = 384
    animal_count: int = 2
    seed: int = 0
    channels: int = 1
    """1 (gray) or 3 (RGB)."""
    body_length_px: float | None = None
    """Nose to tail base; None: 0.22 of the frame's shorter side."""
    speed_px: float | None = None
    """Typical step per frame; None: 0.035 of the body length."""
    shelter_count: int = 0
    """Roofs that hide whatever is under them."""

    def __post_init__(self) -> None:
        if min(self.frame_count, self.height_px, self.width_px) < 1 or self.animal_count < 0:
            raise InvalidArgument(
                "WORLD_INVALID",
                f"A world of {self.frame_count} frames of {self.width_px}x{self.height_px} px "
                "shows nothing; give at least one frame and one pixel.",
                frame_count=self.frame_count,
            )
        if self.channels not in {1, 3}:
            raise InvalidArgument(
                "WORLD_INVALID",
                f"A frame has 1 or 3 channels, not {self.channels}.",
                channels=self.channels,
            )

    @property
    def body_length(self) -> float:
        """Nose to tail base, in pixels."""
        return self.body_length_px or 0.22 * min(self.height_px, self.width_px)

    @property
    def speed(self) -> float:
        """Typical step per frame, in pixels."""
        return self.speed_px or 0.035 * self.body_length


class SyntheticWorld:
    """Frames and truth of one world; any frame can be asked for at any time."""

    skeleton = SKELETON

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        rng = np.random.default_rng(config.seed)
        size_px = np.array([config.width_px, config.height_px], float)
        self._paths = wander(
            frame_count=config.frame_count,
            animal_count=config.animal_count,
            size_px=size_px,
            body_length_px=config.body_length,
            speed_px=config.speed,
            rng=rng,
        )
        self._sway_phase_A = rng.uniform(0, 2 * np.pi, config.animal_count)
        corners_R2 = rng.uniform(0, 0.75, (config.shelter_count, 2)) * size_px
        self.shelters_px_R4: NDArray[np.float64] = np.concatenate(
            (corners_R2, corners_R2 + 0.22 * size_px), axis=1
        )
        """Roofs as (left, top, right, bottom)."""

    @property
    def frame_count(self) -> int:
        """Number of frames T."""
        return self.config.frame_count

    def points_px(self, frame_index: int) -> NDArray[np.float32]:
        """Returns all nodes (A, N, 2), hidden ones and those outside the frame included.

        Raises:
            OutOfRange: FRAME_OUT_OF_RANGE when the world has no such frame.
        """
        spine_AN2 = self._spine(frame_index, _BEHIND_N)
        toward_AN2 = self._spine(frame_index, _BEHIND_N - 0.1) - self._spine(
            frame_index, _BEHIND_N + 0.1
        )
        toward_AN2 /= np.maximum(np.linalg.norm(toward_AN2, axis=2, keepdims=True), 1e-9)
        right_AN2 = np.stack((-toward_AN2[..., 1], toward_AN2[..., 0]), axis=2)
        beside_N1 = (_BESIDE_N * self.config.body_length)[:, None]
        return (spine_AN2 + right_AN2 * beside_N1).astype(np.float32)

    def truth(self, frame_index: int) -> FramePoses:
        """Returns what can be seen: hidden nodes are NaN, `track_indices_I` is the animal.

        An animal without a visible node has no instance. Later animals lie above earlier ones.

        Raises:
            OutOfRange: FRAME_OUT_OF_RANGE when the world has no such frame.
        """
        points_AN2 = self.points_px(frame_index)
        hidden_AN = self._outside(points_AN2) | self._covered(points_AN2, frame_index)
        points_AN2[hidden_AN] = np.nan
        seen_I = np.flatnonzero(~hidden_AN.all(axis=1))
        scores_IN = np.where(hidden_AN[seen_I], 0, 1).astype(np.float32)
        ones_I = np.ones(len(seen_I), np.float32)
        return FramePoses(
            frame_index=frame_index,
            points_px_IN2=points_AN2[seen_I],
            point_scores_IN=scores_IN,
            instance_scores_I=ones_I,
            track_indices_I=seen_I.astype(np.int32),
            tracking_scores_I=ones_I,
        )

    def render(self, frame_index: int) -> NDArray[np.uint8]:
        """Returns the frame (H, W, C) as uint8.

        Raises:
            OutOfRange: FRAME_OUT_OF_RANGE when the world has no such frame.
        """
        outlines_AS2 = self._spine(frame_index, _OUTLINE_BEHIND_S)
        ears_A22 = self.points_px(frame_index)[:, 1:3]
        radii_px_S = _OUTLINE_RADII_S * self.config.body_length
        animals = [
            Animal(spine_S2, radii_px_S, ears_22, ear_radius_px=0.05 * self.config.body_length)
            for spine_S2, ears_22 in zip(outlines_AS2, ears_A22, strict=True)
        ]
        noise_seed = (self.config.seed, frame_index)
        return self._picture.draw(animals, np.random.default_rng(noise_seed))

    @cached_property
    def _picture(self) -> Picture:
        return Picture(
            height_px=self.config.height_px,
            width_px=self.config.width_px,
            channels=self.config.channels,
            shelters_px_R4=self.shelters_px_R4,
            rng=np.random.default_rng((self.config.seed, 1)),
        )

    def _spine(self, frame_index: int, behind_S: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (A, S, 2) on the path, so many body lengths behind the nose; tails sway."""
        if not 0 <= frame_index < self.frame_count:
            raise OutOfRange(
                "FRAME_OUT_OF_RANGE",
                f"Frame {frame_index} does not exist; the world has {self.frame_count} frames.",
                frame_index=frame_index,
                frame_count=self.frame_count,
            )
        length_px = self.config.body_length
        spine_AS2 = self._paths.behind_nose(frame_index, behind_S * length_px)
        ahead_AS2 = self._paths.behind_nose(frame_index, (behind_S - 0.1) * length_px)
        toward_AS2 = ahead_AS2 - spine_AS2
        toward_AS2 /= np.maximum(np.linalg.norm(toward_AS2, axis=2, keepdims=True), 1e-9)
        wave_AS = np.sin(0.25 * frame_index + self._sway_phase_A[:, None] - 2.5 * behind_S)
        sway_AS = 0.12 * length_px * np.maximum(behind_S - 1, 0) * wave_AS
        return (
            spine_AS2 + np.stack((-toward_AS2[..., 1], toward_AS2[..., 0]), 2) * sway_AS[..., None]
        )

    def _outside(self, points_AN2: NDArray[np.float32]) -> NDArray[np.bool_]:
        limit_2 = np.array([self.config.width_px, self.config.height_px]) - 1
        beyond_AN2: NDArray[np.bool_] = (points_AN2 < 0) | (points_AN2 > limit_2)
        return beyond_AN2[..., 0] | beyond_AN2[..., 1]

    def _covered(self, points_AN2: NDArray[np.float32], frame_index: int) -> NDArray[np.bool_]:
        covered_AN = np.zeros(points_AN2.shape[:2], bool)
        for left, top, right, bottom in self.shelters_px_R4:
            covered_AN |= np.all(
                (points_AN2 >= (left, top)) & (points_AN2 <= (right, bottom)), axis=2
            )
        trunks_AS2 = self._spine(frame_index, _OUTLINE_BEHIND_S[_TRUNK])
        radii_px_S = _OUTLINE_RADII_S[_TRUNK] * self.config.body_length
        for above in range(1, self.config.animal_count):
            gaps_ANS = np.linalg.norm(points_AN2[:above, :, None] - trunks_AS2[above], axis=3)
            covered_AN[:above] |= (gaps_ANS < radii_px_S).any(axis=2)
        return covered_AN
