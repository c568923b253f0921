"""What a server does around every call: trace, refusal and farewell when it stops, numbers."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
from grpc_status import rpc_status

from shoal_common import tracing
from shoal_common.drain import RunningCall, RunningCalls, stopping
from shoal_common.handlers import Context, Serializers, Stream, Unary, is_of_grpc, wrap
from shoal_common.logs import served_method
from shoal_common.metrics import MethodCalls, Metrics
from shoal_common.status import to_status
from shoal_core.errors import Unavailable

if TYPE_CHECKING:
    from shoal_common.handlers import Handler

logger = logging.getLogger(__name__)

_OK = grpc.StatusCode.OK
_CODES = {code.value[0]: code.name for code in grpc.StatusCode}


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every call of a server; the outermost interceptor."""

    def __init__(self, metrics: Metrics, running: RunningCalls) -> None:
        self._metrics = metrics
        self._running = running

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Wraps the method's handler."""
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        if handler is None or is_of_grpc(method):
            return handler
        numbers = self._metrics.method(method)
        return wrap(
            handler,
            unary=lambda behavior: self._unary(behavior, method, numbers),
            stream=lambda behavior: self._stream(behavior, method, numbers),
            serializers=_counted(handler, numbers),
        )

    def _unary(self, behavior: Unary, method: str, numbers: MethodCalls) -> Unary:
        async def call(request: Any, context: Context) -> Any:
            async with self._around(context, method, numbers):
                return await behavior(request, context)

        return call

    def _stream(
        self, behavior: Stream, method: str, numbers: MethodCalls
    ) -> Callable[[Any, Context], AsyncIterator[Any]]:
        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            async with (
                self._around(context, method, numbers),
                aclosing(behavior(request, context)) as responses,
            ):
                async for response in responses:
                    yield response

        return call

    @asynccontextmanager
    async def _around(
        self, context: Context, method: str, numbers: MethodCalls
    ) -> AsyncIterator[None]:
        metadata = context.invocation_metadata() or ()
        tracing.set_trace_id(tracing.trace_id_from(metadata) or tracing.new_trace_id())
        served_method.set(method)
        begun = time.perf_counter()
        numbers.begin()
        code = "CANCELLED"
        try:
            with self._running.running() as call:
                try:
                    yield
                except asyncio.CancelledError:
                    await _farewell(call, context)
                    raise
            code = _OK.name
        except Unavailable as refusal:
            code = "UNAVAILABLE"
            await context.abort_with_status(rpc_status.to_status(to_status(refusal)))
        except grpc.aio.AbortError:
            code = _code_name(context.code())
            raise
        finally:
            seconds = time.perf_counter() - begun
            numbers.end(code, seconds)
            logger.debug("%s ended with %s after %.6f s", method, code, seconds)


def _code_name(code: Any) -> str:
    # Typed as a StatusCode; in fact asyncio's contexts give its number.
    return _CODES[code.value[0] if isinstance(code, grpc.StatusCode) else code]


async def _farewell(call: RunningCall, context: Context) -> None:
    """Tells the caller why its call ends, if it is the server that ends it."""
    if call.was_told:
        task = asyncio.current_task()
        assert task is not None, "calls are served by tasks"
        task.uncancel()  # the cancellation was ours; the answer is still to be sent
        await context.abort_with_status(rpc_status.to_status(to_status(stopping())))


def _counted(handler: "Handler", numbers: MethodCalls) -> Serializers:
    deserialize, serialize = handler.request_deserializer, handler.response_serializer
    assert deserialize is not None, "generated stubs have both"
    assert serialize is not None, "generated stubs have both"

    def request(data: bytes) -> Any:
        numbers.received_bytes += len(data)
        return deserialize(data)

    def response(message: Any) -> bytes:
        data = serialize(message)
        numbers.sent_bytes += len(data)
        return data

    return Serializers(request, response)
