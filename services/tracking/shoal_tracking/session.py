"""One live session: items in, answers out in the same order.

Frames of a session are inferred several at a time; linking is strictly in order.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import assert_never

from shoal.tracking.v1 import tracking_pb2 as pb
from shoal_common import convert
from shoal_common.interceptors import error_status
from shoal_common.ordering import in_order
from shoal_core.errors import FailedPrecondition, InvalidArgument
from shoal_core.pose import FramePoses
from shoal_core.skeleton import Skeleton
from shoal_core.tracking import Tracker
from shoal_tracking.delivery import Delivery, Skip
from shoal_tracking.inference import FrameInference, TimedPoses


@dataclass(frozen=True)
class Item:
    """One request that has become poses, or has failed to."""

    frame_index: int
    """The index that the client gave; 0 where it gave none."""
    arrived: float
    """Time of the session's clock."""
    outcome: TimedPoses | Skip | Exception


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
        delivery: Delivery,
    ) -> None:
        self._skeleton = skeleton
        self._track_names = track_names
        self._inference = inference
        self._tracker = tracker
        self._clock = clock
        self._delivery = delivery
        self._ledger = pb.FrameLedger()
        self._last_frame_index = -1
        self._named_track_count = 0

    async def run(
        self, requests: AsyncIterator[pb.TrackFramesRequest]
    ) -> AsyncGenerator[pb.TrackFramesResponse, None]:
        """Yields one answer per request; who does not read them is not read from either."""
        items = in_order(requests, self._item, look_ahead=self._delivery.look_ahead)
        async with aclosing(items):
            async for item in items:
                response = self._answer(item)
                response.ledger.CopyFrom(self._ledger)
                yield response

    async def _item(self, request: pb.TrackFramesRequest) -> Item:
        arrived = self._clock()
        outcome: TimedPoses | Skip | Exception
        try:
            outcome = await self._poses(request, arrived)
        except Exception as error:  # noqa: BLE001 -- one item fails, the stream goes on
            outcome = error
        return Item(_frame_index(request), arrived, outcome)

    async def _poses(self, request: pb.TrackFramesRequest, arrived: float) -> TimedPoses | Skip:
        match request.WhichOneof("payload"):
            case "frame":
                if self._inference is None:
                    raise FailedPrecondition(
                        "MODEL_MISSING",
                        "This session has no model and takes poses only; name one in `config`.",
                    )
                frame = request.frame
                infer = partial(
                    self._inference.poses, frame.frame_index, frame.frame, arrived=arrived
                )
                return await self._delivery.deliver(arrived, infer)
            case "poses":
                return TimedPoses(self._given_poses(request.poses))
            case "config":
                raise InvalidArgument(
                    "CONFIG_REPEATED", "The configuration comes first and only once."
                )
            case _:
                raise InvalidArgument(
                    "POSES_INVALID", "The message carries neither a frame nor poses."
                )

    def _given_poses(self, item: pb.PosesItem) -> FramePoses:
        frames = list(convert.frame_poses(item.poses))
        node_count = len(self._skeleton.nodes)
        if len(frames) != 1 or frames[0].points_px_IN2.shape[1] != node_count:
            raise InvalidArgument(
                "POSES_INVALID",
                f"The message must hold exactly one frame with {node_count} nodes an instance.",
            )
        return frames[0]

    def _answer(self, item: Item) -> pb.TrackFramesResponse:
        try:
            if isinstance(item.outcome, Exception):
                raise item.outcome
            if isinstance(item.outcome, Skip):
                return self._skipped(item.frame_index, item.outcome)
            begun = self._clock()
            linked = self._link(item.outcome.poses)
            linking_ms = (self._clock() - begun) * 1000
            response = pb.TrackFramesResponse(
                frame_index=linked.frame_index,
                poses=convert.pose_batch([linked], len(self._skeleton.nodes)),
                track_names=self._new_track_names(linked),
            )
        except Exception as error:  # noqa: BLE001 -- one item fails, the stream goes on
            self._ledger.failed += 1
            return pb.TrackFramesResponse(
                frame_index=item.frame_index, error=error_status(error, "TrackFrames item")
            )
        self._ledger.delivered += 1
        response.latency.CopyFrom(
            pb.LatencyBreakdown(
                queue_ms=item.outcome.queue_ms,
                decode_ms=item.outcome.decode_ms,
                inference_ms=item.outcome.inference_ms,
                grouping_ms=item.outcome.grouping_ms,
                linking_ms=linking_ms,
                total_ms=(self._clock() - item.arrived) * 1000,
            )
        )
        return response

    def _skipped(self, frame_index: int, skip: Skip) -> pb.TrackFramesResponse:
        match skip:
            case Skip.REPLACED:
                reason = pb.SKIP_REASON_REPLACED
                self._ledger.replaced += 1
            case Skip.STALE:
                reason = pb.SKIP_REASON_STALE
                self._ledger.stale += 1
            case _:
                assert_never(skip)
        return pb.TrackFramesResponse(
            frame_index=frame_index, skipped=pb.SkippedFrame(reason=reason)
        )

    def _link(self, poses: FramePoses) -> FramePoses:
        if poses.frame_index <= self._last_frame_index:
            raise InvalidArgument(
                "FRAME_OUT_OF_ORDER",
                f"Frame {poses.frame_index} came after frame {self._last_frame_index}; send frames "
                "in increasing order.",
                frame_index=poses.frame_index,
                last_frame_index=self._last_frame_index,
            )
        linked = poses if self._tracker is None else self._tracker.update(poses)
        self._last_frame_index = poses.frame_index
        return linked

    def _new_track_names(self, poses: FramePoses) -> list[str]:
        """All track names when this frame has a track that was not named yet, else none."""
        track_count = max(int(poses.track_indices_I.max(initial=-1)) + 1, len(self._track_names))
        if track_count <= self._named_track_count:
            return []
        self._named_track_count = track_count
        unnamed = range(len(self._track_names), track_count)
        return [*self._track_names, *(f"track_{index}" for index in unnamed)]


def _frame_index(request: pb.TrackFramesRequest) -> int:
    if request.WhichOneof("payload") == "frame":
        return request.frame.frame_index
    indices = request.poses.poses.frame_indices.data
    return int.from_bytes(indices[:8], "little", signed=True)
