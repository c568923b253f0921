"""A tracking service on a socket, between fakes of serving and engine."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from pytest_asyncio import fixture as async_fixture

from shoal.common.v1 import frame_pb2, parameters_pb2
from shoal.tracking.v1 import tracking_pb2 as pb
from shoal.tracking.v1 import tracking_pb2_grpc as pb_grpc
from shoal_common import convert
from shoal_common.status import from_status, typed_errors
from shoal_core.errors import ShoalError
from shoal_core.pose import FramePoses
from shoal_tracking.__main__ import build
from shoal_tracking.config import TrackingConfig
from tests.fakes.pose_engine import FakePoseEngine, contract
from tests.fakes.running import running
from tests.fakes.watched_deployments import FakeDeployments

MODEL = "models/fly"
SHAPE = (24, 32, 1)
WINDOW = 4
ANSWER_SECONDS = 20.0  # only a bug lets an answer wait so long


def frames(count: int, shape: Sequence[int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (count, *shape), np.uint8)


def inline(frame_HWC: np.ndarray) -> frame_pb2.FramePayload:
    return frame_pb2.FramePayload(inline=convert.tensor(frame_HWC))


def frame_item(index: int, payload: frame_pb2.FramePayload) -> pb.TrackFramesRequest:
    return pb.TrackFramesRequest(frame=pb.FrameItem(frame_index=index, frame=payload))


def poses_item(*frames: FramePoses, node_count: int = 3) -> pb.TrackFramesRequest:
    return pb.TrackFramesRequest(
        poses=pb.PosesItem(poses=convert.pose_batch(frames, node_count=node_count))
    )


def config(**fields: Any) -> pb.TrackFramesRequest:
    return pb.TrackFramesRequest(config=pb.SessionConfig(**{"model": MODEL} | fields))


def window_tracker(**fields: Any) -> parameters_pb2.TrackerParameters:
    return parameters_pb2.TrackerParameters(window=parameters_pb2.WindowTrackerParameters(**fields))


def error(response: pb.TrackFramesResponse) -> ShoalError:
    assert response.WhichOneof("result") == "error", response
    return from_status(response.error)


def poses(response: pb.TrackFramesResponse) -> FramePoses:
    assert response.WhichOneof("result") == "poses", response
    (frame,) = convert.frame_poses(response.poses)
    return frame


class Stream:
    """One session, from the client's side."""

    def __init__(self, stub: Any) -> None:
        self.call = stub.TrackFrames()

    async def send(self, *requests: pb.TrackFramesRequest) -> None:
        with typed_errors("tracking"):
            for request in requests:
                await self.call.write(request)

    async def read(self) -> pb.TrackFramesResponse:
        with typed_errors("tracking"):
            async with asyncio.timeout(ANSWER_SECONDS):
                response = await self.call.read()
        assert isinstance(response, pb.TrackFramesResponse), "the stream has ended"
        return response

    async def ask(self, *requests: pb.TrackFramesRequest) -> list[pb.TrackFramesResponse]:
        """Sends all and returns as many answers."""
        sending = asyncio.create_task(self.send(*requests))
        answers = [await self.read() for _ in requests]
        await sending
        return answers

    async def refusal(self) -> ShoalError:
        """Returns the error that the stream ends with."""
        with pytest.raises(ShoalError) as caught:
            await self.read()
        return caught.value

    async def end(self) -> None:
        """Closes in good order; there must be no more answers."""
        await self.call.done_writing()
        with typed_errors("tracking"):
            assert await self.call.read() is grpc.aio.EOF
            assert await self.call.code() is grpc.StatusCode.OK


class Tracking:
    """The service under test and its peers."""

    def __init__(self, stub: Any, engine: FakePoseEngine, serving: FakeDeployments) -> None:
        self.stub = stub
        self.engine = engine
        self.serving = serving

    def stream(self) -> Stream:
        """Opens a stream; nothing is sent yet."""
        return Stream(self.stub)

    @asynccontextmanager
    async def session(self, **fields: Any) -> AsyncIterator[Stream]:
        """Yields a stream that is configured, and ends it in good order."""
        stream = self.stream()
        await stream.send(config(**fields))
        yield stream
        await stream.end()


@async_fixture
async def start_tracking(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Starts a service over a fake engine that serves `models/fly`."""
    async with AsyncExitStack() as stack:

        async def start(
            classes: tuple[str, ...] = (), max_session_count: int = 8, **changes: Any
        ) -> Tracking:
            engine = FakePoseEngine(f"unix:{tmp_path}/e", class_count=len(classes))
            serving = FakeDeployments(f"unix:{tmp_path}/s")
            for peer in (engine, serving):
                await peer.start()
                stack.push_async_callback(peer.stop)
            await serving.deploy(MODEL, engine.target, contract(classes=classes, **changes))
            settings = TrackingConfig(
                listen=f"unix:{tmp_path}/t",
                serving_target=serving.target,
                allowed_roots=(str(tmp_path),),
                max_session_count=max_session_count,
                in_flight_frame_count=WINDOW,
                drain_seconds=0.5,
            )
            service = await stack.enter_async_context(
                running(await build(settings), settings.listen)
            )
            return Tracking(pb_grpc.TrackingServiceStub(service.channel), engine, serving)

        yield start


@async_fixture
async def tracking(start_tracking: Callable[..., Any]) -> Tracking:
    return await start_tracking()
