"""Live sessions: how many there are, and what each of them needs."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager

import grpc

from shoal.tracking.v1 import tracking_pb2 as pb
from shoal_common import convert
from shoal_common.convert_parameters import inference_settings, tracker_config
from shoal_common.inference.contract import PoseContract
from shoal_common.inference.deployment import Deployment
from shoal_common.inference.estimator import PoseEstimator
from shoal_common.inference.priority import Priority
from shoal_common.inference.settings import InferenceSettings
from shoal_common.roots import AllowedRoots
from shoal_core.errors import InvalidArgument, ResourceExhausted
from shoal_core.tracking import Tracker
from shoal_tracking.delivery import Delivery, EveryFrame, LatestFrame
from shoal_tracking.frames import FrameSource
from shoal_tracking.inference import FrameInference
from shoal_tracking.session import Session
from shoal_tracking.slots import FrameSlots

_RETRY_AFTER_SECONDS = 1.0
"""When a client that was refused should ask again."""


class Sessions:
    """Opens sessions, at most so many at once."""

    def __init__(
        self,
        *,
        serving: grpc.aio.Channel,
        roots: AllowedRoots,
        clock: Callable[[], float],
        max_session_count: int,
        in_flight_frame_count: int,
        live_frame_count: int,
    ) -> None:
        self._serving = serving
        self._roots = roots
        self._clock = clock
        self._max_session_count = max_session_count
        self._in_flight_frame_count = in_flight_frame_count
        self._live_frame_count = live_frame_count
        # One read and one closing a session at most, so that none waits for another one's video.
        self._threads = ThreadPoolExecutor(2 * max_session_count, thread_name_prefix="session")
        self.session_count = 0
        """Sessions that are open."""
        self._closing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(self, config: pb.SessionConfig) -> AsyncIterator[Session]:
        """Yields a session; what it holds is freed at the end.

        Raises:
            ResourceExhausted: SESSION_LIMIT.
            InvalidArgument: SKELETON_INVALID, PARAMETER_INVALID or CENTROIDS_MISSING.
            NotFound: MODEL_NOT_FOUND, VERSION_NOT_FOUND or ALIAS_NOT_FOUND.
            FailedPrecondition: MODEL_LOAD_FAILED.
            Unavailable: ENGINE_UNAVAILABLE.
            DeadlineExceeded: ENGINE_UNAVAILABLE when the call has no time to wait for one.
        """
        if self.session_count >= self._max_session_count:
            raise ResourceExhausted(
                "SESSION_LIMIT",
                f"{self._max_session_count} sessions are open; end one or raise max_session_count.",
                max_session_count=self._max_session_count,
            ).after(_RETRY_AFTER_SECONDS)
        self.session_count += 1
        stack = AsyncExitStack()
        try:
            yield await self._make(config, stack)
        finally:
            # In a task of its own: a client that leaves may cancel the call more than once, and
            # what the session holds must go all the same.
            closing = asyncio.create_task(self._close(stack))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            await asyncio.shield(closing)

    async def aclose(self) -> None:
        """Ends the threads once what is still being closed has used them; no call may run."""
        if self._closing:
            await asyncio.wait(self._closing)
        await asyncio.to_thread(self._threads.shutdown)

    async def _close(self, stack: AsyncExitStack) -> None:
        try:
            await stack.aclose()
        finally:
            self.session_count -= 1

    async def _make(self, config: pb.SessionConfig, stack: AsyncExitStack) -> Session:
        tracker = tracker_config(config.tracker)
        settings = inference_settings(config.inference)
        delivery = self._delivery(config)
        inference: FrameInference | None = None
        classes: tuple[str, ...] = ()
        if config.model:
            deployment = Deployment(self._serving, config.model)
            stack.push_async_callback(deployment.aclose)
            contract = (await deployment.current()).contract
            _check_takes_frames(contract, config.model)
            skeleton, classes = contract.skeleton, contract.classes
            inference = self._inference(deployment, settings, delivery.in_flight_frame_count)
            stack.push_async_callback(inference.aclose)
        else:
            skeleton = convert.skeleton(config.skeleton)
        return Session(
            skeleton=skeleton,
            # A tracker numbers its own tracks; only untracked identities are classes.
            track_names=classes if tracker is None else (),
            inference=inference,
            tracker=None if tracker is None else Tracker(tracker),
            clock=self._clock,
            delivery=delivery,
        )

    def _delivery(self, config: pb.SessionConfig) -> Delivery:
        if not config.HasField("latest_wins"):
            return EveryFrame(self._in_flight_frame_count)
        max_age_s: float | None = None
        if config.latest_wins.HasField("max_age_ms"):
            max_age_s = config.latest_wins.max_age_ms / 1000
            if not 0 < max_age_s < math.inf:
                raise InvalidArgument(
                    "PARAMETER_INVALID",
                    f"max_age_ms must be positive, not {config.latest_wins.max_age_ms}.",
                    max_age_ms=config.latest_wins.max_age_ms,
                )
        return LatestFrame(self._live_frame_count, max_age_s=max_age_s, clock=self._clock)

    def _inference(
        self, deployment: Deployment, settings: InferenceSettings, slot_count: int
    ) -> FrameInference:
        return FrameInference(
            deployment=deployment,
            estimator=PoseEstimator(
                deployment=deployment, settings=settings, priority=Priority.LIVE
            ),
            frames=FrameSource(self._roots),
            slots=FrameSlots(slot_count),
            clock=self._clock,
            threads=self._threads,
        )


def _check_takes_frames(contract: PoseContract, model: str) -> None:
    if contract.takes_centroids:
        raise InvalidArgument(
            "CENTROIDS_MISSING",
            f"{model} needs to be told where the animals are, which live sessions cannot; import "
            "it together with its centroid model.",
            model=model,
        )
