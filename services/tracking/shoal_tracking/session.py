"""One live session: items in, answers out in the same order.

Frames of a session are inferred several at a time; linking is strictly in order.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from shoal.tracking.v1 import tracking_pb2 as pb
from shoal_common import convert
from shoal_common.interceptors import error_status
from shoal_core.errors import FailedPrecondition, InvalidArgument
from shoal_core.pose import FramePoses
from shoal_core.skeleton import Skeleton
from shoal_core.tracking.tracker import Tracker
from shoal_tracking.inference import FrameInference


@dataclass
class Item:
    """One request on its way through the session; times in seconds of the session's clock."""

    request: pb.TrackFramesRequest
    arrived: float
    latency: pb.LatencyBreakdown = field(default_factory=pb.LatencyBreakdown)

    @property
    def frame_index(self) -> int:
        """The index that the client gave, 0 where it gave none."""
        if self.request.WhichOneof("payload") == "frame":
            return self.request.frame.frame_index
        indices = self.request.poses.poses.frame_indices.data
        return int.from_bytes(indices[:8], "little", signed=True)


class Session:
    """Turns the items of one stream into identified poses."""

    def __init__(
        self,
        *,
        skeleton: Skeleton,
        track_names: tuple[str, ...],
        inference: FrameInference | None,
        tracker: Tracker | None,
        clock: Callable[[], float],
        in_flight_frame_count: int,
    ) -> None:
        self._skeleton = skeleton
        self._track_names = track_names
        self._inference = inference
        self._tracker = tracker
        self._clock = clock
        self._in_flight_frame_count = in_flight_frame_count
        self._last_frame_index = -1
        self._named_track_count = 0

    async def run(
        self, requests: AsyncIterator[pb.TrackFramesRequest]
    ) -> AsyncIterator[pb.TrackFramesResponse]:
        """Yields one answer per request; a full window slows the client down."""
        window: asyncio.Queue[tuple[Item, asyncio.Task[FramePoses]] | None] = asyncio.Queue(
            maxsize=self._in_flight_frame_count
        )
        feeding = asyncio.create_task(self._feed(requests, window))
        try:
            while (entry := await window.get()) is not None:
                yield await self._answer(*entry)
            await feeding
        finally:
            feeding.cancel()
            while not window.empty():
                if (left := window.get_nowait()) is not None:
                    left[1].cancel()

    async def _feed(
        self,
        requests: AsyncIterator[pb.TrackFramesRequest],
        window: asyncio.Queue[tuple[Item, asyncio.Task[FramePoses]] | None],
    ) -> None:
        try:
            async for request in requests:
                item = Item(request, self._clock())
                await window.put((item, asyncio.create_task(self._poses(item))))
        finally:
            await window.put(None)

    async def _poses(self, item: Item) -> FramePoses:
        match item.request.WhichOneof("payload"):
            case "frame":
                if self._inference is None:
                    raise FailedPrecondition(
                        "MODEL_MISSING",
                        "This session has no model and takes poses only; name one in `config`.",
                    )
                return await self._inference.poses(item.request.frame, item.latency)
            case "poses":
                return self._given_poses(item)
            case "config":
                raise InvalidArgument(
                    "CONFIG_REPEATED", "The configuration comes first and only once."
                )
            case _:
                raise InvalidArgument(
                    "POSES_INVALID", "The message carries neither a frame nor poses."
                )

    def _given_poses(self, item: Item) -> FramePoses:
        frames = list(convert.frame_poses(item.request.poses.poses))
        node_count = len(self._skeleton.nodes)
        if len(frames) != 1 or frames[0].points_px_IN2.shape[1] != node_count:
            raise InvalidArgument(
                "POSES_INVALID",
                f"The message must hold exactly one frame with {node_count} nodes an instance.",
            )
        return frames[0]

    async def _answer(
        self, item: Item, estimating: asyncio.Task[FramePoses]
    ) -> pb.TrackFramesResponse:
        try:
            poses = await estimating
            linked = self._link(poses, item)
        except Exception as error:  # noqa: BLE001 -- one item fails, the stream goes on
            return pb.TrackFramesResponse(
                frame_index=item.frame_index, error=error_status(error, "TrackFrames item")
            )
        item.latency.total_ms = (self._clock() - item.arrived) * 1000
        return pb.TrackFramesResponse(
            frame_index=linked.frame_index,
            poses=convert.pose_batch([linked], len(self._skeleton.nodes)),
            track_names=self._new_track_names(linked),
            latency=item.latency,
        )

    def _link(self, poses: FramePoses, item: Item) -> FramePoses:
        if poses.frame_index <= self._last_frame_index:
            raise InvalidArgument(
                "FRAME_OUT_OF_ORDER",
                f"Frame {poses.frame_index} came after frame {self._last_frame_index}; send frames "
                "in increasing order.",
                frame_index=poses.frame_index,
                last_frame_index=self._last_frame_index,
            )
        self._last_frame_index = poses.frame_index
        if self._tracker is None:
            return poses
        begun = self._clock()
        linked = self._tracker.update(poses)
        item.latency.linking_ms = (self._clock() - begun) * 1000
        return linked

    def _new_track_names(self, poses: FramePoses) -> list[str]:
        """All track names when this frame has a track that was not named yet, else none."""
        track_count = max(int(poses.track_indices_I.max(initial=-1)) + 1, len(self._track_names))
        if track_count <= self._named_track_count:
            return []
        self._named_track_count = track_count
        unnamed = range(len(self._track_names), track_count)
        return [*self._track_names, *(f"track_{index}" for index in unnamed)]
