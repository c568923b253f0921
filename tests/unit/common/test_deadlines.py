"""What is left of a caller's time reaches whatever is done for it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from shoal.labels.v1 import labels_pb2, labels_pb2_grpc
from shoal_common import deadlines
from shoal_common.config import ServerConfig
from shoal_common.server import ServerBuilder
from tests.fakes.running import running

LONG = 1000.0


async def test_a_call_without_a_caller_has_its_own_time() -> None:
    assert deadlines.timeout_s(LONG) == LONG


async def test_a_callee_gets_less_than_the_caller_has_and_never_more_than_its_own() -> None:
    deadlines.begin(60.0)
    assert 50.0 < deadlines.timeout_s(LONG) < 60.0
    assert deadlines.timeout_s(1.0) == 1.0


async def test_no_time_left_is_no_time_not_less() -> None:
    deadlines.begin(0.0)
    assert deadlines.timeout_s(LONG) == 0.0


async def test_a_block_shortens_the_time_but_cannot_lengthen_it() -> None:
    deadlines.begin(60.0)
    with deadlines.within(10.0):
        assert 9.0 < deadlines.timeout_s(LONG) <= 10.0
        with deadlines.within(LONG):
            assert deadlines.timeout_s(LONG) <= 10.0
    assert deadlines.timeout_s(LONG) > 50.0


async def test_cleaning_up_does_not_depend_on_the_caller() -> None:
    deadlines.begin(0.0)
    with deadlines.lifted():
        assert deadlines.timeout_s(LONG) == LONG
    assert deadlines.timeout_s(LONG) == 0.0


async def test_tasks_that_were_begun_for_a_caller_share_its_time() -> None:
    async def begun() -> float:
        return deadlines.timeout_s(LONG)

    deadlines.begin(60.0)
    assert await asyncio.create_task(begun()) < 60.0


class Times(labels_pb2_grpc.LabelsServiceServicer):
    """Notes what its callees would get."""

    def __init__(self) -> None:
        self.timeouts_s: list[float] = []

    async def GetLabelSet(self, request: Any, context: Any) -> labels_pb2.GetLabelSetResponse:
        self.timeouts_s.append(deadlines.timeout_s(LONG))
        return labels_pb2.GetLabelSetResponse()

    async def StreamPoses(self, request: Any, context: Any) -> Any:
        self.timeouts_s.append(deadlines.timeout_s(LONG))
        yield labels_pb2.StreamPosesResponse()


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(("given_s", "least", "most"), [(100.0, 60.0, 95.0), (None, LONG, LONG)])
async def test_every_call_of_a_service_knows_its_callers_deadline(
    tmp_path: Path, streams: bool, given_s: float | None, least: float, most: float
) -> None:
    times, target = Times(), f"unix:{tmp_path}/s"
    builder = ServerBuilder(ServerConfig(listen=target, drain_seconds=0)).add(
        labels_pb2_grpc.add_LabelsServiceServicer_to_server, times, "shoal.labels.v1.LabelsService"
    )
    async with running(builder, target) as service:
        stub: Any = labels_pb2_grpc.LabelsServiceStub(service.channel)
        if streams:
            call = stub.StreamPoses(labels_pb2.StreamPosesRequest(), timeout=given_s)
            assert [response async for response in call]
        else:
            await stub.GetLabelSet(labels_pb2.GetLabelSetRequest(), timeout=given_s)
    (timeout_s,) = times.timeouts_s
    assert least <= timeout_s <= most
