"""What Prometheus reads of a process, over a real socket."""

import asyncio
import importlib
import socket
from collections.abc import AsyncIterator

import pytest
from google.protobuf import descriptor_pool
from prometheus_client.parser import text_string_to_metric_families

from shoal.decode.v1 import decode_pb2, decode_pb2_grpc
from shoal_common.config import ServerConfig, from_mapping, load_config
from shoal_common.metrics import Metrics
from shoal_common.metrics_endpoint import metrics_address
from shoal_common.server import ServerBuilder
from shoal_core.errors import FailedPrecondition, InvalidArgument, NotFound
from tests.fakes.decode_calls import SERVICE, LastingCalls, lasting_server
from tests.fakes.running import running

PROBE = f"/{SERVICE}/ProbeVideo"
STREAM = f"/{SERVICE}/StreamFrames"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def get(port: int, request: str) -> tuple[str, str]:
    """Returns head and body of an HTTP answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{request}\r\nHost: here\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return head, body


async def scrape(port: int) -> Samples:
    head, body = await get(port, "GET /metrics HTTP/1.1")
    assert head.startswith("HTTP/1.1 200 OK")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


async def scrape_once_counted(port: int, *methods: str) -> Samples:
    """Returns what is read once a call of each method is counted: a client hears of it before."""
    async with asyncio.timeout(60):
        while True:
            samples = await scrape(port)
            if all(value(samples, "rpc_seconds_count", method=method) for method in methods):
                return samples


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"shoal_fake_{name}", frozenset(labels.items())]


class Failing(decode_pb2_grpc.DecodeServiceServicer):
    async def ProbeVideo(self, request, context):
        raise NotFound("VIDEO_NOT_FOUND", "There is no video.")

    async def StreamFrames(
        self, request, context
    ) -> AsyncIterator[decode_pb2.StreamFramesResponse]:
        yield decode_pb2.StreamFramesResponse(frame_index=1)
        raise ZeroDivisionError


async def call_all(stub: decode_pb2_grpc.DecodeServiceStub) -> None:
    await stub.ProbeVideo(decode_pb2.ProbeVideoRequest(uri="v" * 100), timeout=10).code()
    call = stub.StreamFrames(decode_pb2.StreamFramesRequest(), timeout=10)
    await call.read()
    await call.code()


async def test_calls_are_counted_by_method_and_code(tmp_path) -> None:
    target, port = f"unix:{tmp_path}/s", free_port()
    builder = lasting_server(
        Failing(), target, metrics=Metrics("shoal_fake"), metrics_listen=f"127.0.0.1:{port}"
    )
    async with running(builder, target) as service:
        await call_all(decode_pb2_grpc.DecodeServiceStub(service.channel))
        samples = await scrape_once_counted(port, PROBE, STREAM)
    assert value(samples, "rpc_calls_total", method=PROBE, code="NOT_FOUND") == 1
    assert value(samples, "rpc_calls_total", method=STREAM, code="INTERNAL") == 1
    assert value(samples, "rpc_seconds_count", method=PROBE) == 1
    assert value(samples, "rpc_seconds_bucket", method=PROBE, le="+Inf") == 1
    assert value(samples, "rpc_received_bytes_total", method=PROBE) == 102
    assert value(samples, "rpc_sent_bytes_total", method=STREAM) > 0
    assert value(samples, "ready") == 1


async def test_calls_that_run_are_counted_as_long_as_they_do(tmp_path) -> None:
    target, port, servicer = f"unix:{tmp_path}/s", free_port(), LastingCalls()
    builder = lasting_server(
        servicer, target, metrics=Metrics("shoal_fake"), metrics_listen=f"127.0.0.1:{port}"
    )
    async with running(builder, target) as service:
        stub = decode_pb2_grpc.DecodeServiceStub(service.channel)
        call = stub.ProbeVideo(decode_pb2.ProbeVideoRequest(), timeout=10)
        await servicer.begun.wait()
        assert value(await scrape(port), "rpc_in_flight_calls", method=PROBE) == 1
        servicer.finish.set()
        await call
        samples = await scrape_once_counted(port, PROBE)
        assert value(samples, "rpc_in_flight_calls", method=PROBE) == 0
        assert value(samples, "rpc_calls_total", method=PROBE, code="OK") == 1


async def test_numbers_are_read_when_they_are_asked_for(tmp_path) -> None:
    port, queue = free_port(), [1, 2, 3]

    async def stored() -> int:
        return 7

    metrics = Metrics("shoal_fake")
    metrics.gauge("queue_items", "Items.", lambda: len(queue), {"kind": "a"})
    metrics.gauge("queue_items", "Items.", stored, {"kind": "b"})
    metrics.counter("turns", "Turns.", lambda: 5)
    config = ServerConfig(listen=f"unix:{tmp_path}/s", metrics_listen=f"127.0.0.1:{port}")
    async with running(ServerBuilder(config, metrics), config.listen):
        queue.pop()
        samples = await scrape(port)
    assert value(samples, "queue_items", kind="a") == 2
    assert value(samples, "queue_items", kind="b") == 7
    assert value(samples, "turns_total") == 5


async def test_a_number_that_cannot_be_told_is_an_error_of_its_own(tmp_path, caplog) -> None:
    port, values = free_port(), iter([None, 3])
    metrics = Metrics("shoal_fake")
    metrics.gauge("queue_items", "Items.", lambda: 1 + next(values))  # type: ignore[operator]
    config = ServerConfig(listen=f"unix:{tmp_path}/s", metrics_listen=f"127.0.0.1:{port}")
    async with running(ServerBuilder(config, metrics), config.listen):
        head, _ = await get(port, "GET /metrics HTTP/1.1")
        assert head.startswith("HTTP/1.1 500")
        assert "the metrics cannot be told" in caplog.text
        assert value(await scrape(port), "queue_items") == 4


async def test_only_the_metrics_are_served(tmp_path) -> None:
    port = free_port()
    builder = lasting_server(
        LastingCalls(), f"unix:{tmp_path}/s", metrics_listen=f"127.0.0.1:{port}"
    )
    async with running(builder, f"unix:{tmp_path}/s"):
        assert (await get(port, "GET / HTTP/1.1"))[0].startswith("HTTP/1.1 404")
        assert (await get(port, "POST /metrics HTTP/1.1"))[0].startswith("HTTP/1.1 405")


@pytest.mark.parametrize(
    ("listen", "metrics_listen", "address"),
    [
        ("127.0.0.1:7101", "auto", ("127.0.0.1", 9101)),
        ("[::1]:7101", "auto", ("::1", 9101)),
        ("unix:/run/s", "auto", None),
        ("unix:/run/s", "0.0.0.0:9000", ("0.0.0.0", 9000)),
        ("127.0.0.1:7101", "none", None),
        ("127.0.0.1:65000", "auto", None),
    ],
)
def test_metrics_are_two_thousand_ports_on(listen: str, metrics_listen: str, address) -> None:
    assert metrics_address(listen, metrics_listen) == address


def test_metrics_can_be_turned_off_by_a_setting() -> None:
    config = load_config(ServerConfig, None, ["listen=127.0.0.1:7101", "metrics_listen=none"])
    assert metrics_address(config.listen, config.metrics_listen) is None


@pytest.mark.parametrize(
    ("key", "listen", "metrics_listen"),
    [
        ("metrics_listen", "127.0.0.1:7101", "localhost"),
        ("metrics_listen", "unix:/run/s", "127.0.0.1:http"),
        ("metrics_listen", "unix:/run/s", "127.0.0.1:70000"),
        ("listen", "localhost", "auto"),
    ],
)
def test_an_address_without_a_port_is_named(key: str, listen: str, metrics_listen: str) -> None:
    with pytest.raises(InvalidArgument, match=f"{key!r} is .* give host:port") as caught:
        metrics_address(listen, metrics_listen)
    assert caught.value.reason == "CONFIG_INVALID"


async def test_a_taken_address_ends_only_what_was_told_to_listen_there(tmp_path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = ServerConfig(listen=f"unix:{tmp_path}/s", metrics_listen=f"127.0.0.1:{port}")
        with pytest.raises(FailedPrecondition) as caught:
            await ServerBuilder(config).serve(asyncio.Event())
    assert caught.value.reason == "METRICS_ADDRESS_IN_USE"


SERVICES = {
    "decode": ["shoal.decode.v1.DecodeService"],
    "engine": ["inference.GRPCInferenceService"],
    "serving": ["shoal.serving.v1.ServingService"],
    "tracking": ["shoal.tracking.v1.TrackingService"],
    "labels": ["shoal.labels.v1.LabelsService"],
    "orchestrator": [
        "shoal.jobs.v1.JobsService",
        "shoal.jobs.v1.TrainingSweepsService",
        "shoal.jobs.v1.WorkQueueService",
    ],
    "worker": [],
}
SETTINGS = {
    "engine": {"model_repository": "{home}/models"},
    "serving": {"home": "{home}"},
    "labels": {"home": "{home}"},
    "orchestrator": {
        "home": "{home}",
        "decode_target": "unix:{home}/d",
        "serving_target": "unix:{home}/m",
    },
}


@pytest.mark.parametrize("name", SERVICES)
async def test_every_rpc_and_queue_of_every_service_shows_up(tmp_path, name: str) -> None:
    port, target = free_port(), f"unix:{tmp_path}/s"
    module = importlib.import_module(f"shoal_{name}.__main__")
    config_type = next(
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ServerConfig) and value is not ServerConfig
    )
    own = {key: text.format(home=tmp_path) for key, text in SETTINGS.get(name, {}).items()}
    values = {"listen": target, "metrics_listen": f"127.0.0.1:{port}", **own}
    async with running(await module.build(from_mapping(config_type, values)), target):
        samples = await scrape(port)
    pool = descriptor_pool.Default()
    expected = {
        f"/{service}/{method.name}"
        for service in SERVICES[name]
        for method in pool.FindServiceByName(service).methods
    }
    prefix = f"shoal_{name}_"
    counted = {
        dict(labels)["method"] for metric, labels in samples if metric == f"{prefix}rpc_calls_total"
    }
    assert counted == expected
    queues = {metric for metric, _ in samples if metric.startswith(prefix) and "rpc" not in metric}
    assert len(queues - {f"{prefix}ready", f"{prefix}dependency_reachable"}) >= 1
