"""The only place that knows how a service listens, reports health and stops.

The end: health says NOT_SERVING and new calls are refused, then calls have `drain_seconds` to
end, then those that are left are told (UNAVAILABLE / SERVER_STOPPING), then everything is
closed. A second SIGTERM ends the process where it is.
"""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Self, TypeVar

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shoal_common.calls import CallInterceptor
from shoal_common.config import ServerConfig, load_config, parse_arguments
from shoal_common.drain import RunningCalls
from shoal_common.health import Dependency, HealthService, Readiness
from shoal_common.interceptors import ErrorInterceptor
from shoal_common.logs import log_to_standard_error
from shoal_common.metrics import Metrics
from shoal_common.metrics_endpoint import serving_metrics
from shoal_common.transport import KEEPALIVE, MESSAGE_OPTIONS
from shoal_common.watchdog import end_process
from shoal_core.errors import FailedPrecondition, ShoalError

logger = logging.getLogger(__name__)

_STOP_SECONDS = 30.0
"""Time that cleanups have after running calls."""

Config = TypeVar("Config", bound=ServerConfig)
Task = Callable[[], Awaitable[None]]

_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_FLUSH_SECONDS = 0.5
"""Time for last words to leave, after every call has ended."""


class ServerBuilder:
    """Collects the servicers of one process and serves them until it is told to stop."""

    def __init__(self, config: ServerConfig, metrics: Metrics | None = None) -> None:
        """Takes the numbers of the process; without any, calls are counted for nobody."""
        self._config = config
        self._metrics = metrics or Metrics("shoal_service")
        self._running = RunningCalls()
        self._server = grpc.aio.server(
            interceptors=[CallInterceptor(self._metrics, self._running), ErrorInterceptor()],
            options=[
                *MESSAGE_OPTIONS,
                *KEEPALIVE.server_options,
                ("grpc.so_reuseport", 0),
            ],
        )
        self._service_names: list[str] = []
        self._dependencies: list[Dependency] = []
        self._starts: list[Task] = []
        self._cleanups: list[Task] = []
        self._background: list[Task] = []
        self._readiness = Readiness(self._service_names, self._dependencies)
        self._metrics.gauge("ready", "1 while the process can do its work.", self.is_ready)

    def add(
        self,
        add_to_server: Callable[[Any, grpc.aio.Server], None],
        servicer: object,
        service_name: str,
    ) -> Self:
        """Serves a servicer, for example `add(add_JobsServiceServicer_to_server, jobs, name)`."""
        add_to_server(servicer, self._server)
        self._service_names.append(service_name)
        service = descriptor_pool.Default().FindServiceByName(service_name)
        self._metrics.declare([f"/{service_name}/{method.name}" for method in service.methods])
        return self

    def depends_on(
        self, name: str, channel: grpc.aio.Channel, *, needed_by: Sequence[str] = ()
    ) -> Self:
        """Connects to a peer and watches the connection; see `Dependency`."""
        dependency = Dependency(name, channel, needed_by)
        self._dependencies.append(dependency)
        self._metrics.gauge(
            "dependency_reachable",
            "1 while a connection stands.",
            partial(getattr, dependency, "is_reachable"),
            {"dependency": name},
        )
        return self

    def start_with(self, task: Task) -> Self:
        """Runs a coroutine first; the process is not ready before, and ends if it fails."""
        self._starts.append(task)
        return self

    def run_beside(self, task: Task) -> Self:
        """Runs a coroutine as long as the server; the server stops if it fails."""
        self._background.append(task)
        return self

    def on_stop(self, cleanup: Task) -> Self:
        """Calls `cleanup` after the last call has ended, the last one added first."""
        self._cleanups.append(cleanup)
        return self

    def is_ready(self) -> bool:
        """Whether the process can do its work; see `shoal_common.health`."""
        return self._readiness.is_ready()

    async def serve(self, stop: asyncio.Event) -> None:
        """Serves until `stop` is set, then drains.

        Raises:
            InvalidArgument: CONFIG_INVALID when an address has no port.
            FailedPrecondition: ADDRESS_IN_USE or METRICS_ADDRESS_IN_USE when nothing can listen
                there.
        """
        if not self._starts:
            self._readiness.finish_start()
        async with AsyncExitStack() as stack:  # one cleanup that fails leaves no other undone
            for cleanup in self._cleanups:
                stack.push_async_callback(cleanup)
            await stack.enter_async_context(
                serving_metrics(self._metrics, self._config.listen, self._config.metrics_listen)
            )
            await self._listen()
            stack.push_async_callback(self._server.stop, _FLUSH_SECONDS)
            stack.push_async_callback(self._running.drain, self._config.drain_seconds)
            background = self._begin_background()
            stack.push_async_callback(_cancel, background)
            stack.callback(self._begin_to_stop)
            await _first_of(stop, background)

    async def _listen(self) -> None:
        listen = self._config.listen
        health_pb2_grpc.add_HealthServicer_to_server(HealthService(self._readiness), self._server)
        if self._config.allows_reflection:
            from grpc_reflection.v1alpha import reflection

            names = [*self._service_names, _HEALTH, reflection.SERVICE_NAME]
            reflection.enable_server_reflection(names, self._server)
        try:
            self._server.add_insecure_port(listen)
        except RuntimeError as error:
            raise FailedPrecondition(
                "ADDRESS_IN_USE",
                f"Nothing can listen on {listen}; end what listens there or set another `listen`.",
                listen=listen,
            ) from error
        await self._server.start()
        logger.info("listening on %s", listen)

    def _begin_background(self) -> list[asyncio.Future[None]]:
        tasks: list[Task] = [
            *self._background,
            *(partial(self._readiness.follow, dependency) for dependency in self._dependencies),
            self._start,
        ]
        return [asyncio.ensure_future(task()) for task in tasks]

    async def _start(self) -> None:
        for task in self._starts:
            await task()
        self._readiness.finish_start()
        await asyncio.Event().wait()  # the end of a background task would end the server

    def _begin_to_stop(self) -> None:
        self._readiness.stop()
        self._running.refuse_new()


async def _first_of(stop: asyncio.Event, background: Sequence[asyncio.Future[None]]) -> None:
    """Returns when `stop` is set or a background task has ended; raises what that has raised."""
    stopping = asyncio.ensure_future(stop.wait())
    waited: list[asyncio.Future[Any]] = [stopping, *background]
    try:
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    for task in background:
        if task.done():
            task.result()


async def _cancel(tasks: Sequence[asyncio.Future[None]]) -> None:
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    for result in await asyncio.gather(*running, return_exceptions=True):
        if isinstance(result, Exception):
            logger.error("a background task failed while it was stopped", exc_info=result)


def run_service(
    program: str,
    config_type: type[Config],
    build: Callable[[Config], Awaitable[ServerBuilder]],
) -> None:
    """Runs a service's process: configuration, logging, signals, lifeline, server.

    Exits with status 2 and one line on standard error when it cannot start.
    """
    arguments = parse_arguments(program)
    try:
        config = load_config(config_type, arguments.config, arguments.set)
        log_to_standard_error(program, level=config.log_level, log_format=config.log_format)
        asyncio.run(_run(config, build, lifeline=arguments.lifeline))
    except ShoalError as error:
        sys.stderr.write(f"{program}: {error.message}\n")
        sys.exit(2)
    # All that is to be kept has been closed; tearing the interpreter down takes 50 ms of a core,
    # in each process of an ensemble that ends.
    logging.shutdown()
    os._exit(0)


async def _run(
    config: Config, build: Callable[[Config], Awaitable[ServerBuilder]], *, lifeline: bool
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    grace_seconds = config.drain_seconds + _STOP_SECONDS

    def stop_once(number: signal.Signals) -> None:
        stop.set()
        end_after(grace_seconds, "it was told to stop")
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)  # the second one ends the process at once

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_once, number)
    if lifeline:
        watch_lifeline(loop, stop, grace_seconds=grace_seconds)
    builder = await build(config)
    await builder.serve(stop)


def end_after(grace_seconds: float, why: str) -> None:
    """Ends the process the hard way if it has not ended by itself within the grace.

    An event loop that hangs, or a thread that is stuck in foreign code, would keep it for ever.
    """

    def end() -> None:
        threading.Event().wait(grace_seconds)
        end_process(f"{why}, and this process does not end by itself")

    threading.Thread(target=end, name="hard end", daemon=True).start()


def watch_lifeline(
    loop: asyncio.AbstractEventLoop, stop: asyncio.Event, *, grace_seconds: float
) -> None:
    """Sets `stop` when standard input is closed, which the death of the parent does.

    A process that then does not end within the grace, since its event loop hangs or a cleanup
    does, is ended the hard way: nobody is left to do it.
    """

    def wait_for_end() -> None:
        # Not sys.stdin: its lock, held by this thread, would abort the interpreter's shutdown.
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(stop.set)
        end_after(grace_seconds, "its parent has gone")

    threading.Thread(target=wait_for_end, name="lifeline", daemon=True).start()
