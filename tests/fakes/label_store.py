"""Labels as a worker sees it: label sets and segments, kept in memory."""

import asyncio

import grpc

from shoal.labels.v1 import labels_pb2 as pb
from shoal.labels.v1 import labels_pb2_grpc as pb_grpc
from shoal_common import convert
from shoal_common.interceptors import ErrorInterceptor
from shoal_core.errors import Aborted, AlreadyExists, NotFound, ShoalError
from shoal_core.pose import FramePoses


class FakeLabelStore(pb_grpc.LabelsServiceServicer):
    """Keeps what is committed; faults are attributes.

    `commit_fault` answers commits, until it is None. `lost_answers` answer commits that were
    done, one each.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.commit_fault: ShoalError | None = None
        self.lost_answers: list[ShoalError] = []
        self.refused_count = 0
        self.changed = asyncio.Condition()
        self.label_sets: dict[str, pb.LabelSet] = {}
        self.segments: dict[str, dict[int, tuple[pb.SegmentHeader, list[FramePoses]]]] = {}
        self._server: grpc.aio.Server | None = None

    async def until_refused(self, count: int) -> None:
        """Returns once so many commits have been answered with `commit_fault`."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.refused_count >= count)

    async def start(self) -> None:
        """Listens."""
        self._server = grpc.aio.server(interceptors=[ErrorInterceptor()])
        pb_grpc.add_LabelsServiceServicer_to_server(self, self._server)
        self._server.add_insecure_port(self.target)
        await self._server.start()

    async def stop(self) -> None:
        """Ends at once."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    def add(self, label_set: pb.LabelSet, *segments: list[FramePoses]) -> None:
        """Keeps a label set as if it had been committed."""
        self.label_sets[label_set.name] = label_set
        self.segments[label_set.name] = {
            index: (pb.SegmentHeader(), frames) for index, frames in enumerate(segments)
        }

    def frames(self, name: str) -> list[FramePoses]:
        """All frames of a label set, in order."""
        segments = self.segments[name].values()
        return sorted((f for _, frames in segments for f in frames), key=lambda f: f.frame_index)

    async def CreateLabelSet(self, request, context):
        name = request.label_set.name
        if self.label_sets.setdefault(name, request.label_set) != request.label_set:
            raise AlreadyExists("LABEL_SET_EXISTS", f"{name} is there with other contents.")
        self.segments.setdefault(name, {})
        return pb.CreateLabelSetResponse(label_set=request.label_set)

    async def GetLabelSet(self, request, context):
        if request.name not in self.label_sets:
            raise NotFound("LABEL_SET_NOT_FOUND", f"There is no {request.name}.")
        return pb.GetLabelSetResponse(label_set=self.label_sets[request.name])

    async def CommitSegment(self, request_iterator, context):
        header = (await anext(request_iterator)).header
        frames = [f async for r in request_iterator for f in convert.frame_poses(r.poses)]
        if self.commit_fault is not None:
            async with self.changed:
                self.refused_count += 1
                self.changed.notify_all()
            raise self.commit_fault
        segments = self.segments[header.label_set]
        last = segments.get(header.segment_index)
        if last is not None and last[0].fencing_token > header.fencing_token:
            raise Aborted("FENCING_TOKEN_STALE", "A newer lease has written it.")
        assert all(header.range.start <= f.frame_index < header.range.stop for f in frames)
        segments[header.segment_index] = (header, frames)
        if self.lost_answers:
            raise self.lost_answers.pop(0)
        return pb.CommitSegmentResponse()

    async def StreamPoses(self, request, context):
        node_count = len(self.label_sets[request.label_set].skeleton.nodes)
        stop = request.range.stop or 2**62
        for frame in self.frames(request.label_set):
            if request.range.start <= frame.frame_index < stop:
                yield pb.StreamPosesResponse(poses=convert.pose_batch([frame], node_count))
