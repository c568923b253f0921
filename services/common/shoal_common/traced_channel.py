"""Channels whose calls carry a trace.

gRPC's own client interceptors would do the same with a task more for every call of asyncio,
which the calls to the engine would feel; here a call costs one more tuple.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self

import grpc

from shoal_common.tracing import METADATA_KEY, current_trace_id, new_trace_id, traceparent

Metadata = Sequence[tuple[str, str | bytes]] | None


class _TracedMethod:
    """One method of a channel; every call of it gets the trace that it runs under."""

    def __init__(self, method: Any, trace_id: str | None) -> None:
        self._method = method
        self._trace_id = trace_id

    def __call__(self, *args: Any, metadata: Metadata = None, **kwargs: Any) -> Any:
        return self._method(*args, metadata=self._traced(metadata), **kwargs)

    def with_call(self, *args: Any, metadata: Metadata = None, **kwargs: Any) -> Any:
        """See `grpc.UnaryUnaryMultiCallable`."""
        return self._method.with_call(*args, metadata=self._traced(metadata), **kwargs)

    def future(self, *args: Any, metadata: Metadata = None, **kwargs: Any) -> Any:
        """See `grpc.UnaryUnaryMultiCallable`."""
        return self._method.future(*args, metadata=self._traced(metadata), **kwargs)

    def _traced(self, metadata: Metadata) -> tuple[tuple[str, str | bytes], ...]:
        given = tuple(metadata or ())
        if any(key == METADATA_KEY for key, _ in given):
            return given
        trace_id = current_trace_id() or self._trace_id or new_trace_id()
        return (*given, (METADATA_KEY, traceparent(trace_id)))


class TracedChannel(grpc.aio.Channel):
    """A channel of asyncio whose calls carry a trace."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    async def __aenter__(self) -> Self:
        await self._channel.__aenter__()
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        await self._channel.__aexit__(*exc_info)

    async def close(self, grace: float | None = None) -> None:
        """See `grpc.aio.Channel`."""
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """See `grpc.aio.Channel`."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """See `grpc.aio.Channel`."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """See `grpc.aio.Channel`."""
        await self._channel.channel_ready()

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """See `grpc.aio.Channel`."""
        return _TracedMethod(self._channel.unary_unary(*args, **kwargs), None)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        """See `grpc.aio.Channel`."""
        return _TracedMethod(self._channel.unary_stream(*args, **kwargs), None)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        """See `grpc.aio.Channel`."""
        return _TracedMethod(self._channel.stream_unary(*args, **kwargs), None)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        """See `grpc.aio.Channel`."""
        return _TracedMethod(self._channel.stream_stream(*args, **kwargs), None)


class TracedSyncChannel(grpc.Channel):
    """A channel without an event loop whose calls carry a trace."""

    def __init__(self, channel: grpc.Channel, trace_id: str | None) -> None:
        """Takes the channel, and the trace of calls that run under none."""
        self._channel = channel
        self._trace_id = trace_id

    def __enter__(self) -> Self:
        self._channel.__enter__()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self._channel.__exit__(*exc_info)

    def close(self) -> None:
        """See `grpc.Channel`."""
        self._channel.close()

    def subscribe(
        self,
        callback: Callable[[grpc.ChannelConnectivity], None],
        try_to_connect: bool = False,
    ) -> None:
        """See `grpc.Channel`."""
        self._channel.subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        """See `grpc.Channel`."""
        self._channel.unsubscribe(callback)

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """See `grpc.Channel`."""
        return _TracedMethod(self._channel.unary_unary(*args, **kwargs), self._trace_id)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        """See `grpc.Channel`."""
        return _TracedMethod(self._channel.unary_stream(*args, **kwargs), self._trace_id)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        """See `grpc.Channel`."""
        return _TracedMethod(self._channel.stream_unary(*args, **kwargs), self._trace_id)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        """See `grpc.Channel`."""
        return _TracedMethod(self._channel.stream_stream(*args, **kwargs), self._trace_id)
