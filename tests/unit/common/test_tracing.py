"""A trace follows work through services, and log lines name it."""

import asyncio
import json
import logging
import re
from collections.abc import Iterator

import pytest

from shoal.decode.v1 import decode_pb2, decode_pb2_grpc
from shoal_common import tracing
from shoal_common.channel import open_channel, open_sync_channel
from shoal_common.interceptors import error_status
from shoal_common.logs import JsonFormatter, TextFormatter
from shoal_core.errors import NotFound
from tests.fakes.decode_calls import LastingCalls, lasting_server
from tests.fakes.running import running

TRACE = "0af7651916cd43dd8448eb211c80319c"
REQUEST = decode_pb2.ProbeVideoRequest()


class Relay(decode_pb2_grpc.DecodeServiceServicer):
    """Asks the next service, from a task of its own."""

    def __init__(self, next_target: str) -> None:
        self._next = next_target

    async def ProbeVideo(self, request, context):
        async with open_channel(self._next) as channel:
            call = decode_pb2_grpc.DecodeServiceStub(channel).ProbeVideo(request, timeout=10)
            return await asyncio.create_task(wait_for(call))


async def wait_for(call):
    return await call


def finished() -> LastingCalls:
    servicer = LastingCalls()
    servicer.finish.set()
    return servicer


async def traces_of_calls(tmp_path, *metadata: tuple[tuple[str, str], ...]) -> list[str | None]:
    target, servicer = f"unix:{tmp_path}/s", finished()
    async with running(lasting_server(servicer, target), target) as service:
        stub = decode_pb2_grpc.DecodeServiceStub(service.channel)
        for pairs in metadata:
            await stub.ProbeVideo(REQUEST, metadata=pairs, timeout=10)
    return servicer.trace_ids


async def test_a_call_runs_under_the_trace_of_its_caller_through_every_service(tmp_path) -> None:
    first, second = f"unix:{tmp_path}/1", f"unix:{tmp_path}/2"
    servicer = finished()
    async with (
        running(lasting_server(servicer, second), second),
        running(lasting_server(Relay(second), first), first) as service,
    ):
        with tracing.traced(TRACE):
            await decode_pb2_grpc.DecodeServiceStub(service.channel).ProbeVideo(REQUEST, timeout=10)
    assert servicer.trace_ids == [TRACE]


async def test_calls_of_a_caller_without_a_trace_get_one_each(tmp_path) -> None:
    traces = await traces_of_calls(tmp_path, (), ())
    assert len(set(traces)) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", trace or "") for trace in traces)


async def test_a_trace_given_as_metadata_is_taken_as_it_is(tmp_path) -> None:
    given = ("traceparent", f"00-{TRACE}-b7ad6b7169203331-00")
    assert await traces_of_calls(tmp_path, (given,)) == [TRACE]


@pytest.mark.parametrize(
    "value",
    ["", "nonsense", f"ff-{TRACE}-b7ad6b7169203331-01", f"00-{'0' * 32}-b7ad6b7169203331-01"],
)
def test_a_malformed_traceparent_is_none(value: str) -> None:
    assert tracing.trace_id_from([("traceparent", value)]) is None


async def test_a_channel_without_an_event_loop_has_a_trace_of_its_own(tmp_path) -> None:
    target, servicer = f"unix:{tmp_path}/s", finished()

    def probe() -> None:
        with open_sync_channel(target, TRACE) as channel:
            decode_pb2_grpc.DecodeServiceStub(channel).ProbeVideo(REQUEST, timeout=10)

    async with running(lasting_server(servicer, target), target):
        await asyncio.to_thread(probe)
    assert servicer.trace_ids == [TRACE]


def test_the_trace_of_a_job_is_the_same_wherever_it_is_asked_for() -> None:
    name = "projects/default/jobs/3f2a"
    assert tracing.trace_id_of(name) == tracing.trace_id_of(name)
    assert tracing.trace_id_of(name) != tracing.trace_id_of(name + "b")
    parent = tracing.traceparent(tracing.trace_id_of(name))
    assert tracing.trace_id_from([("traceparent", parent)]) == tracing.trace_id_of(name)


class Lines(logging.Handler):
    """Keeps what is logged, as a formatter writes it."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def json_lines() -> Iterator[Lines]:
    yield from attached(Lines(JsonFormatter("shoal-fake")))


@pytest.fixture
def text_lines() -> Iterator[Lines]:
    yield from attached(Lines(TextFormatter("shoal-fake")))


def attached(lines: Lines) -> Iterator[Lines]:
    root = logging.getLogger()
    level = root.level
    root.addHandler(lines)
    root.setLevel(logging.INFO)
    yield lines
    root.removeHandler(lines)
    root.setLevel(level)


class Failing(decode_pb2_grpc.DecodeServiceServicer):
    async def ProbeVideo(self, request, context):
        raise NotFound("VIDEO_NOT_FOUND", "There is no\nvideo.")


async def test_a_failure_is_one_json_line_that_says_which_call_and_why(
    tmp_path, json_lines: Lines
) -> None:
    target = f"unix:{tmp_path}/s"
    async with running(lasting_server(Failing(), target), target) as service:
        call = decode_pb2_grpc.DecodeServiceStub(service.channel).ProbeVideo(
            REQUEST, timeout=10, metadata=(("traceparent", tracing.traceparent(TRACE)),)
        )
        assert await call.code() is not None
    found = [json.loads(line) for line in json_lines.lines if "VIDEO_NOT_FOUND" in line]
    assert len(found) == 1
    assert found[0].pop("time")
    assert found[0].pop("message").endswith("There is no\nvideo.")
    assert found[0] == {
        "level": "INFO",
        "service": "shoal-fake",
        "logger": "shoal_common.interceptors",
        "trace_id": TRACE,
        "method": "/shoal.decode.v1.DecodeService/ProbeVideo",
        "reason": "VIDEO_NOT_FOUND",
    }
    assert not any("\n" in line for line in json_lines.lines)


def test_the_traceback_of_a_bug_is_in_its_json_line(json_lines: Lines) -> None:
    try:
        raise ZeroDivisionError("secret")
    except ZeroDivisionError as error:
        status = error_status(error, "here")
    line = json.loads(json_lines.lines[-1])
    assert "ZeroDivisionError: secret" in line["exception"]
    assert line["reason"] == "INTERNAL"
    assert "secret" not in status.message


def test_the_caller_of_a_bug_is_told_where_to_look(json_lines: Lines) -> None:
    with tracing.traced(TRACE):
        assert TRACE in error_status(ZeroDivisionError(), "here").message


def test_a_line_of_text_ends_with_its_trace(text_lines: Lines) -> None:
    with tracing.traced(TRACE):
        logging.getLogger("shoal_fake").info("a message")
    logging.getLogger("shoal_fake").info("another")
    assert text_lines.lines[0].endswith(f"INFO shoal-fake shoal_fake: a message trace_id={TRACE}")
    assert text_lines.lines[1].endswith("another")
