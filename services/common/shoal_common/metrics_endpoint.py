"""Where Prometheus scrapes a process: `GET /metrics` over HTTP, on the event loop."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from shoal_common.metrics import Metrics
from shoal_core.errors import FailedPrecondition, InvalidArgument

logger = logging.getLogger(__name__)

PORT_OFFSET = 2000
"""From the port of a service to that of its metrics."""

_REQUEST_SECONDS = 10.0
_LAST_PORT = 65535


def metrics_address(listen: str, metrics_listen: str) -> tuple[str, int] | None:
    """Returns where metrics are served; None: nowhere.

    Args:
        listen: Where the service listens.
        metrics_listen: `auto`, `none` or host:port.

    Raises:
        InvalidArgument: CONFIG_INVALID when a port is no number.
    """
    if metrics_listen == "none":
        return None
    if metrics_listen != "auto":
        return _host_and_port("metrics_listen", metrics_listen)
    if listen.startswith("unix:"):
        return None
    host, port = _host_and_port("listen", listen)
    return (host, port + PORT_OFFSET) if 0 < port <= _LAST_PORT - PORT_OFFSET else None


@asynccontextmanager
async def serving_metrics(
    metrics: Metrics, listen: str, metrics_listen: str
) -> AsyncIterator[None]:
    """Serves metrics for as long as the block runs.

    An address that was chosen for the user (`auto`) and is taken costs the metrics, not the
    service.

    Raises:
        InvalidArgument: CONFIG_INVALID when a port is no number.
        FailedPrecondition: METRICS_ADDRESS_IN_USE when nothing can listen where it was told to.
    """
    address = metrics_address(listen, metrics_listen)
    server = None if address is None else await _listen(metrics, address, metrics_listen)
    try:
        yield
    finally:
        if server is not None:
            server.close()
            await server.wait_closed()


async def _listen(
    metrics: Metrics, address: tuple[str, int], metrics_listen: str
) -> asyncio.Server | None:
    host, port = address
    try:
        server = await asyncio.start_server(partial(_answer, metrics), host, port)
    except OSError as error:
        message = (
            f"Metrics cannot be served at {host}:{port} ({error.strerror}); set another "
            "metrics_listen, or `none`."
        )
        if metrics_listen == "auto":
            logger.warning("%s", message)
            return None
        raise FailedPrecondition(
            "METRICS_ADDRESS_IN_USE", message, metrics_listen=metrics_listen
        ) from error
    logger.info("metrics at http://%s:%d/metrics", host, port)
    return server


async def _answer(
    metrics: Metrics, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        async with asyncio.timeout(_REQUEST_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(await _response(metrics, head))
            await writer.drain()
    except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        logger.debug("a request for metrics was not finished: %r", error)
    except Exception:  # a gauge is code of the service, which goes on without its numbers
        logger.exception("the metrics cannot be told")
        writer.write(_http("500 Internal Server Error", "text/plain", b"See the log.\n"))
    finally:
        writer.close()


async def _response(metrics: Metrics, head: bytes) -> bytes:
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if method != b"GET":
        return _http("405 Method Not Allowed", "text/plain", b"Only GET is served.\n")
    if path != b"/metrics":
        return _http("404 Not Found", "text/plain", b"Metrics are at /metrics.\n")
    from shoal_common.exposition import CONTENT_TYPE, exposition

    return _http("200 OK", CONTENT_TYPE, await exposition(metrics))


def _http(status: str, content_type: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def _host_and_port(key: str, address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdecimal()) or int(port) > _LAST_PORT:
        raise InvalidArgument(
            "CONFIG_INVALID",
            f"Configuration key {key!r} is {address!r}; give host:port, as in 127.0.0.1:9101.",
            key=key,
        )
    return host.strip("[]"), int(port)
