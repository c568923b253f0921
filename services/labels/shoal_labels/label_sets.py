"""What the label store keeps: label sets, and the segments that hold their frames."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from shoal_core.skeleton import Skeleton

IMPORTED_FROM = "imported_from"
"""Key of the file that a label set was imported from, in its provenance."""


@dataclass(frozen=True)
class LabelSetKey:
    """Which label set."""

    project: str
    label_set: str

    @property
    def name(self) -> str:
        """projects/{project}/labelSets/{label_set}."""
        return f"projects/{self.project}/labelSets/{self.label_set}"


@dataclass(frozen=True)
class Video:
    """What is known of a video; 0 and empty mean unknown."""

    uri: str
    frame_count: int = 0
    height_px: int = 0
    width_px: int = 0
    channel_count: int = 0
    frame_rate_hz: float = 0.0
    content_hash: str = ""
    sleap_backend: Mapping[str, Any] | None = field(default=None, compare=False)
    """The video's entry in the SLEAP file that it was imported from, for exports."""


@dataclass(frozen=True)
class LabelSet:
    """Labeled frames of one video from one source."""

    key: LabelSetKey
    video: Video
    skeleton: Skeleton
    track_names: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    create_time_us: int = field(default=0, compare=False)
    """Microseconds since 1970, UTC."""
    frame_count: int = field(default=0, compare=False)
    """Frames in visible segments."""
    instance_count: int = field(default=0, compare=False)
    """Instances in visible segments."""

    def to_json(self) -> dict[str, str]:
        """Returns the contents (not the key, not the counts) as one JSON text per column."""
        return {
            "video_json": json.dumps(asdict(self.video)),
            "skeleton_json": json.dumps(asdict(self.skeleton)),
            "track_names_json": json.dumps(self.track_names),
            "provenance_json": json.dumps(self.provenance),
        }

    @classmethod
    def from_json(cls, key: LabelSetKey, texts: Mapping[str, str], **counts: int) -> Self:
        """Returns the label set that `to_json` wrote; `counts` fill the remaining fields."""
        skeleton = json.loads(texts["skeleton_json"])
        return cls(
            key=key,
            video=Video(**json.loads(texts["video_json"])),
            skeleton=Skeleton(
                name=skeleton["name"],
                nodes=tuple(skeleton["nodes"]),
                edges=tuple((a, b) for a, b in skeleton["edges"]),
                symmetries=tuple((a, b) for a, b in skeleton["symmetries"]),
            ),
            track_names=tuple(json.loads(texts["track_names_json"])),
            provenance=json.loads(texts["provenance_json"]),
            **counts,
        )


@dataclass(frozen=True)
class SegmentTarget:
    """Which segment is being written, and by whom."""

    key: LabelSetKey
    index: int
    start: int
    """First frame that the segment answers for."""
    stop: int
    """End of its frames, excluded; 0 means the end of the video."""
    fencing_token: int


@dataclass(frozen=True)
class Segment:
    """A visible, immutable run of frames."""

    key: LabelSetKey
    index: int
    start: int
    stop: int
    fencing_token: int
    path: str
    """Relative to the label store's folder."""
    checksum: str
    """SHA-256 of the file, in hexadecimal."""
    frame_count: int
    instance_count: int

    @property
    def name(self) -> str:
        """projects/{project}/labelSets/{label_set}/segments/{index}."""
        return f"{self.key.name}/segments/{self.index}"
