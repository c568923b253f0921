"""What every call of every service goes through.

Typed errors, one log line a failure, and the caller's deadline for what is asked of others.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from google.rpc import status_pb2
from grpc_status import rpc_status

from shoal_common import deadlines
from shoal_common.handlers import Context, is_of_grpc, wrap
from shoal_common.status import from_os_error, to_status
from shoal_common.tracing import current_trace_id
from shoal_core.errors import Internal, ShoalError

logger = logging.getLogger(__name__)

if TYPE_CHECKING:  # generic for the type checker only
    Handler: TypeAlias = grpc.RpcMethodHandler[Any, Any] | None


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns what a servicer raises into a status with a stable reason.

    Anything that is neither a `ShoalError` nor a full disk is a bug: INTERNAL without
    details for the caller, the traceback for the log.
    """

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler":
        """Wraps the method's handler."""
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        if handler is None or is_of_grpc(method):
            return handler
        return wrap(
            handler,
            unary=lambda behavior: _guard_unary(behavior, method),
            stream=lambda behavior: _guard_stream(behavior, method),
        )


def _guard_unary(
    behavior: Callable[[Any, Context], Awaitable[Any]], method: str
) -> Callable[[Any, Context], Awaitable[Any]]:
    async def call(request: Any, context: Context) -> Any:
        deadlines.begin(context.time_remaining())
        try:
            return await behavior(request, context)
        except Exception as error:  # noqa: BLE001 -- the last line of defence: becomes a status
            await _abort(context, error, method)

    return call


def _guard_stream(
    behavior: Callable[[Any, Context], AsyncGenerator[Any, None]], method: str
) -> Callable[[Any, Context], AsyncIterator[Any]]:
    async def call(request: Any, context: Context) -> AsyncIterator[Any]:
        deadlines.begin(context.time_remaining())
        try:
            # Closed here and now: a caller that leaves must not keep the servicer's resources.
            async with aclosing(behavior(request, context)) as responses:
                async for response in responses:
                    yield response
        except Exception as error:  # noqa: BLE001 -- the last line of defence: becomes a status
            await _abort(context, error, method)

    return call


async def _abort(context: Context, error: Exception, method: str) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    await context.abort_with_status(rpc_status.to_status(error_status(error, method)))


def error_status(error: Exception, where: str) -> status_pb2.Status:
    """Returns the wire status of whatever was raised in `where`, and logs it.

    For the last line of defence only: interceptors, and streams whose items fail one by one.
    """
    if isinstance(error, OSError):
        error = from_os_error(error) or error
    if isinstance(error, ShoalError):
        fields = {"reason": error.reason}
        logger.info("%s failed: %s: %s", where, error.reason, error.message, extra=fields)
        return to_status(error)
    logger.error("%s failed with a bug", where, exc_info=error, extra={"reason": "INTERNAL"})
    return to_status(_internal(where))


def _internal(where: str) -> Internal:
    trace_id = current_trace_id()
    if trace_id is None:
        return Internal("INTERNAL", "Shoal failed; its log has the details.", where=where)
    return Internal(
        "INTERNAL",
        f"Shoal failed; its log has the details under trace_id={trace_id}.",
        where=where,
        trace_id=trace_id,
    )
