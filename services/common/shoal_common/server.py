"""The only place that knows how a service listens, reports health and stops."""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Self, TypeVar

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from shoal_common.channel import MESSAGE_OPTIONS
from shoal_common.config import ServerConfig, load_config, parse_arguments
from shoal_common.interceptors import ErrorInterceptor
from shoal_common.watchdog import end_process
from shoal_core.errors import FailedPrecondition, ShoalError

logger = logging.getLogger(__name__)

_STOP_SECONDS = 30.0
"""Time that cleanups have after running calls."""

Config = TypeVar("Config", bound=ServerConfig)
Cleanup = Callable[[], Awaitable[None]]


class ServerBuilder:
    """Collects the servicers of one process and serves them until it is told to stop."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._server = grpc.aio.server(
            interceptors=[ErrorInterceptor()],
            options=[*MESSAGE_OPTIONS, ("grpc.so_reuseport", 0)],
        )
        self._service_names: list[str] = []
        self._cleanups: list[Cleanup] = []
        self._background: list[Callable[[], Awaitable[None]]] = []

    def add(
        self,
        add_to_server: Callable[[Any, grpc.aio.Server], None],
        servicer: object,
        service_name: str,
    ) -> Self:
        """Serves a servicer, for example `add(add_JobsServiceServicer_to_server, jobs, name)`."""
        add_to_server(servicer, self._server)
        self._service_names.append(service_name)
        return self

    def run_beside(self, task: Callable[[], Awaitable[None]]) -> Self:
        """Runs a coroutine as long as the server; the server stops if it fails."""
        self._background.append(task)
        return self

    def on_stop(self, cleanup: Cleanup) -> Self:
        """Calls `cleanup` after the last call has ended, the last one added first."""
        self._cleanups.append(cleanup)
        return self

    async def serve(self, stop: asyncio.Event) -> None:
        """Serves until `stop` is set, then drains.

        Raises:
            FailedPrecondition: ADDRESS_IN_USE when nothing can listen there.
        """
        servicer = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(servicer, self._server)
        names = [*self._service_names, health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, self._server)
        try:
            self._server.add_insecure_port(self._config.listen)
        except RuntimeError as error:
            raise FailedPrecondition(
                "ADDRESS_IN_USE",
                f"Nothing can listen on {self._config.listen}; end what listens there or set "
                "another `listen`.",
                listen=self._config.listen,
            ) from error
        await self._server.start()
        for name in [*self._service_names, ""]:
            await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
        logger.info("listening on %s", self._config.listen)
        async with AsyncExitStack() as stack:  # one cleanup that fails leaves no other undone
            for cleanup in self._cleanups:
                stack.push_async_callback(cleanup)
            stack.push_async_callback(self._server.stop, self._config.drain_seconds)
            stack.push_async_callback(servicer.enter_graceful_shutdown)
            await self._until_stopped(stop)

    async def _until_stopped(self, stop: asyncio.Event) -> None:
        stopping = asyncio.create_task(stop.wait())
        background = [asyncio.ensure_future(task()) for task in self._background]
        done, pending = await asyncio.wait(
            [stopping, *background], return_when=asyncio.FIRST_COMPLETED
        )
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for task in done:
            task.result()


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
        logging.basicConfig(
            level=config.log_level,
            format=f"%(asctime)s %(levelname)s {program} %(name)s: %(message)s",
            stream=sys.stderr,
        )
        asyncio.run(_run(config, build, lifeline=arguments.lifeline))
    except ShoalError as error:
        sys.stderr.write(f"{program}: {error.message}\n")
        sys.exit(2)


async def _run(
    config: Config, build: Callable[[Config], Awaitable[ServerBuilder]], *, lifeline: bool
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if lifeline:
        watch_lifeline(loop, stop, grace_seconds=config.drain_seconds + _STOP_SECONDS)
    builder = await build(config)
    await builder.serve(stop)


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
        threading.Event().wait(grace_seconds)
        end_process("the parent has gone, and this process does not end by itself")

    threading.Thread(target=wait_for_end, name="lifeline", daemon=True).start()
