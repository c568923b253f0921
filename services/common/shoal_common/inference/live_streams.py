"""Requests that somebody waits for, over streams that stay open.

A message of a stream takes half of the time that a call of its own takes, with asyncio on both
sides. Each stream carries one request at a time, so that no request waits for another's answer, and
a caller who gives up ends his own work only.
"""

import asyncio
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

from shoal_common.tracing import METADATA_KEY, new_trace_id, traceparent
from shoal_core.errors import DeadlineExceeded

_MOST_IDLE = 16
"""Streams that are kept for later; more are only opened while there are more requests at once."""


class LiveStreams:
    """Streams to one engine; used on the event loop only."""

    def __init__(self, method: Any) -> None:
        """Takes `ModelStreamInfer` of a stub."""
        self._method = method
        self._idle: list[Any] = []

    async def infer(
        self, request: service_pb2.ModelInferRequest, timeout_s: float
    ) -> service_pb2.ModelInferResponse | None:
        """Returns the answer; None if there is none, for a reason that only a call tells in full.

        The engine stops when the caller gives up.

        Raises:
            DeadlineExceeded: ENGINE_SLOW.
        """
        stream = self._idle.pop() if self._idle else self._open()
        is_whole = False
        try:
            async with asyncio.timeout(timeout_s):
                await stream.write(request)
                answer = await stream.read()
            is_whole = answer is not grpc.aio.EOF
        except TimeoutError as error:
            raise DeadlineExceeded(
                "ENGINE_SLOW", f"The engine did not answer within {timeout_s:.3g} s."
            ) from error
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return None  # it has ended: the engine was started again, for example
        finally:
            if is_whole and len(self._idle) < _MOST_IDLE:
                self._idle.append(stream)
            else:
                stream.cancel()
        if not is_whole or answer.error_message:
            return None
        return answer.infer_response

    def close(self) -> None:
        """Ends the streams."""
        while self._idle:
            self._idle.pop().cancel()

    def _open(self) -> Any:
        # It outlives the request that it is opened for, whose trace it must not carry.
        return self._method(metadata=((METADATA_KEY, traceparent(new_trace_id())),))
