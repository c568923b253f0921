"""Handlers of gRPC methods, wrapped into others by interceptors."""

import dataclasses
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc

if TYPE_CHECKING:  # generic for the type checker only
    Handler: TypeAlias = grpc.RpcMethodHandler[Any, Any]

Context = grpc.aio.ServicerContext[Any, Any]
Unary = Callable[[Any, Context], Awaitable[Any]]
Stream = Callable[[Any, Context], AsyncGenerator[Any, None]]

_OWN_PREFIX = "/grpc."
_KINDS = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}
"""(request streams, response streams) → attribute of a handler, and what makes another one."""


def is_of_grpc(method: str) -> bool:
    """Whether a method is health's or reflection's, which speak gRPC's own conventions."""
    return method.startswith(_OWN_PREFIX)


@dataclasses.dataclass(frozen=True)
class Serializers:
    """What turns bytes into messages, and back."""

    request_deserializer: Callable[[bytes], Any] | None
    response_serializer: Callable[[Any], bytes] | None


def wrap(
    handler: "Handler",
    *,
    unary: Callable[[Unary], Unary],
    stream: Callable[[Stream], Callable[[Any, Context], AsyncIterator[Any]]],
    serializers: Serializers | None = None,
) -> "Handler":
    """Returns the handler with its behavior wrapped.

    Args:
        handler: Of a servicer whose responses, where they stream, come out of a generator.
        unary: Wraps a behavior that returns one response.
        stream: Wraps a behavior that yields responses.
        serializers: Instead of those of the handler.
    """
    attribute, make = _KINDS[(handler.request_streaming, handler.response_streaming)]
    behavior = getattr(handler, attribute)
    is_stream = inspect.isasyncgenfunction(behavior)
    return make(
        stream(behavior) if is_stream else unary(behavior),
        **vars(
            serializers or Serializers(handler.request_deserializer, handler.response_serializer)
        ),
    )
