"""The worker's side of the label store."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from shoal.common.v1 import pose_pb2, video_pb2
from shoal.jobs.v1 import training_pb2
from shoal.labels.v1 import labels_pb2, labels_pb2_grpc
from shoal_common import convert
from shoal_common.label_revision import label_set_revision
from shoal_common.status import typed_errors
from shoal_core.errors import AlreadyExists, FailedPrecondition
from shoal_core.pose import FramePoses
from shoal_worker.patience import PATIENCE_SECONDS, patiently

Result = TypeVar("Result")

_CALL_SECONDS = 30.0
_STREAM_SECONDS = 600.0
_FRAMES_PER_MESSAGE = 1000


@dataclass(frozen=True)
class SegmentKey:
    """Where a run of frames goes, and under whose authority."""

    label_set: str
    index: int
    start: int
    stop: int
    fencing_token: int


class LabelSets:
    """Creates, reads and writes label sets.

    What says the same when it is said twice (creating, looking up, committing under one token)
    waits for a label store that restarts.
    """

    def __init__(
        self,
        stub: "labels_pb2_grpc.LabelsServiceAsyncStub",
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._stub = stub
        self._patience_seconds = patience_seconds

    async def create(self, label_set: labels_pb2.LabelSet) -> None:
        """Creates a label set, or finds the one that an earlier task of the job has created.

        Raises:
            AlreadyExists: LABEL_SET_EXISTS when the one that is there is of something else.
        """
        request = labels_pb2.CreateLabelSetRequest(label_set=label_set)
        try:
            await self._patiently(lambda: self._stub.CreateLabelSet(request, timeout=_CALL_SECONDS))
        except AlreadyExists:
            # Another version of the worker says otherwise where the same poses come from.
            if _holds(await self.get(label_set.name)) != _holds(label_set):
                raise

    async def get(self, name: str) -> labels_pb2.LabelSet:
        """Returns a label set."""
        request = labels_pb2.GetLabelSetRequest(name=name)
        response = await self._patiently(
            lambda: self._stub.GetLabelSet(request, timeout=_CALL_SECONDS)
        )
        return response.label_set

    async def commit(
        self, key: SegmentKey, frames: Sequence[FramePoses], *, node_count: int
    ) -> None:
        """Makes a segment durable; returns when it is visible."""
        await self._patiently(
            lambda: self._stub.CommitSegment(
                _segment_messages(key, frames, node_count), timeout=_STREAM_SECONDS
            )
        )

    async def frames(
        self, label_set: str, start: int, stop: int
    ) -> AsyncGenerator[FramePoses, None]:
        """Yields the frames of a label set in order; `stop` 0 means the end."""
        request = labels_pb2.StreamPosesRequest(
            label_set=label_set, range=video_pb2.FrameRange(start=start, stop=stop)
        )
        with typed_errors("labels"):
            async for response in self._stub.StreamPoses(request, timeout=_STREAM_SECONDS):
                for frame in convert.frame_poses(response.poses):
                    yield frame

    async def export(self, label_sets: Iterable[training_pb2.LabelSetRevision], path: Path) -> None:
        """Writes label sets into one SLEAP file.

        Raises:
            FailedPrecondition: LABELS_CHANGED when they are not those of the revisions.
        """
        pinned = list(label_sets)
        request = labels_pb2.DownloadLabelsRequest(label_sets=[each.name for each in pinned])

        async def download() -> None:
            with path.open("wb") as file:
                async for response in self._stub.DownloadLabels(request, timeout=_STREAM_SECONDS):
                    file.write(response.chunk)

        await self._patiently(download)
        # Behind the download: tokens only grow, so that what has not changed now had not before.
        for each in pinned:
            if await self._revision(each.name) != each.revision:
                raise FailedPrecondition(
                    "LABELS_CHANGED",
                    f"{each.name} has changed since the job was created; create the job anew.",
                    label_set=each.name,
                )

    async def _revision(self, name: str) -> str:
        return await self._patiently(lambda: label_set_revision(self._stub, name))

    async def _patiently(self, call: Callable[[], Awaitable[Result]]) -> Result:
        return await patiently("labels", call, patience_seconds=self._patience_seconds)


def _holds(label_set: labels_pb2.LabelSet) -> tuple[str, pose_pb2.Skeleton, list[str]]:
    return label_set.video.content_hash, label_set.skeleton, list(label_set.track_names)


def _segment_messages(
    key: SegmentKey, frames: Sequence[FramePoses], node_count: int
) -> Iterator[labels_pb2.CommitSegmentRequest]:
    yield labels_pb2.CommitSegmentRequest(
        header=labels_pb2.SegmentHeader(
            label_set=key.label_set,
            segment_index=key.index,
            range=video_pb2.FrameRange(start=key.start, stop=key.stop),
            fencing_token=key.fencing_token,
        )
    )
    for first in range(0, len(frames), _FRAMES_PER_MESSAGE):
        batch = frames[first : first + _FRAMES_PER_MESSAGE]
        yield labels_pb2.CommitSegmentRequest(poses=convert.pose_batch(batch, node_count))
