"""What the services know, as plain frozen values."""

import datetime
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shoal_core.errors import ShoalError
from shoal_core.skeleton import Skeleton

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from shoal_common.inference.contract import PoseContract
    from shoal_common.inference.tuning import Tuning


@dataclass(frozen=True)
class Video:
    """What is known of a video."""

    uri: str
    """Where it lies, as the services see it."""
    frame_count: int
    height_px: int
    width_px: int
    channel_count: int
    """1 (gray) or 3 (color)."""
    frame_rate_hz: float
    """0 where there is none."""
    content_hash: str
    """Equal for equal files wherever they lie."""
    missing_frame_count: int | None = 0
    """Frames lost with the end of a file that was cut off, not part of `frame_count`; None where
    frames are lost but nothing says how many."""
    window: tuple[int, int] | None = None
    """The levels that are shown as 0 and 255, where pixels have more than 8 bits."""


@dataclass(frozen=True)
class ModelVersion:
    """One immutable version of a model."""

    name: str
    """models/{model}/versions/{version}."""
    kind: str
    """single_instance, topdown, bottomup and so on."""
    skeleton: Skeleton
    pose_contract_json: str
    """Everything that the served model promises."""
    source_uris: tuple[str, ...]
    """Folders that it was imported from."""
    create_time: datetime.datetime
    tuning_json: str = ""
    """What its networks run in; empty: never tuned."""

    @property
    def tuning(self) -> "Tuning | None":
        """What its networks run in, and how that was found; None: all in the default backend."""
        from shoal_common.inference.tuning import Tuning

        return Tuning.from_json(self.tuning_json) if self.tuning_json else None

    @property
    def contract(self) -> "PoseContract":
        """What the served model promises: strides, thresholds, classes, limits."""
        from shoal_common.inference.contract import PoseContract

        return PoseContract.from_json(self.pose_contract_json)


@dataclass(frozen=True)
class Alias:
    """A movable name for a version."""

    name: str
    """models/{model}/aliases/{alias}."""
    version: str
    """models/{model}/versions/{version}."""
    earlier_versions: tuple[str, ...] = ()
    """What it has named before, oldest first."""


@dataclass(frozen=True)
class ComparedModel:
    """What one of two compared versions does."""

    version: str
    """models/{model}/versions/{version}."""
    instance_count: int
    """Animals found in all frames."""
    lone_node_count: int
    """Nodes of matched animals that only this version finds."""
    frame_ms: float
    """Time per frame of a batch."""


@dataclass(frozen=True, eq=False)
class ModelComparison:
    """Two versions on the same frames."""

    models: tuple[ComparedModel, ...]
    """In the order of the request."""
    nodes: tuple[str, ...]
    """Those that both skeletons have."""
    frame_count: int
    matched_instance_count: int
    """Animals that both find."""
    distances_px: "NDArray[np.float32]"
    """Of every node that both find in a matched animal."""


@dataclass(frozen=True)
class Model:
    """A model of the registry."""

    name: str
    """models/{model}."""
    versions: tuple[ModelVersion, ...]
    """Oldest first; at least one."""
    aliases: tuple[Alias, ...]


class JobState(enum.Enum):
    """Where a job stands."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen unless the job is created again."""
        return self not in (JobState.PENDING, JobState.RUNNING)


@dataclass(frozen=True)
class JobProgress:
    """How far a job is, in frames."""

    total_frame_count: int
    inferred_frame_count: int
    committed_frame_count: int
    """Frames whose poses are durable: these are not done again."""
    linked_frame_count: int
    instance_count: int
    """Instances found so far."""
    first_frame_time: datetime.datetime | None
    """When the first frame was inferred."""
    overflow_frame_count: int = 0
    """Inferred frames in which the model found more than it can return: some of it is missing."""


@dataclass(frozen=True)
class Job:
    """A durable piece of work."""

    name: str
    """projects/{project}/jobs/{job}."""
    state: JobState
    video: Video
    model_version: str
    progress: JobProgress
    error: ShoalError | None
    """Why it failed; only in state FAILED."""
    result_label_set: str
    create_time: datetime.datetime
    end_time: datetime.datetime | None


@dataclass(frozen=True)
class LabelSet:
    """Labeled frames of one video from one source."""

    name: str
    """projects/{project}/labelSets/{label_set}."""
    video: Video
    skeleton: Skeleton
    track_names: tuple[str, ...]
    """By track index; a track beyond the list is named track_{index}."""
    provenance: dict[str, Any]
    """Program, version, model, parameters."""
    frame_count: int
    instance_count: int


@dataclass(frozen=True)
class ExportSummary:
    """What a written file holds."""

    frame_count: int
    """Frames with at least one instance."""
    instance_count: int
