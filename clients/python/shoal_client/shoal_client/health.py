"""Whether a service can be reached and serves, through grpc.health.v1."""

import enum
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shoal_common.channel import open_sync_channel


class Health(enum.Enum):
    """What a service answers when it is asked how it does."""

    SERVING = "serving"
    NOT_SERVING = "not serving"
    UNREACHABLE = "unreachable"


def check_health(target: str, *, timeout_s: float, wait: bool = False) -> Health:
    """Returns how the service at `target` does; with `wait`, waits until it serves.

    Any answer means that the process is alive; `NOT_SERVING` that it starts, stops, or misses a
    service that it needs.
    """
    health = Health.UNREACHABLE
    with open_sync_channel(target) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest()
        try:
            if not wait:
                return _health(stub.Check(request, timeout=timeout_s))
            for response in stub.Watch(request, timeout=timeout_s, wait_for_ready=True):
                health = _health(response)
                if health is Health.SERVING:
                    break
        except grpc.RpcError as error:
            if wait and error.code() is grpc.StatusCode.UNIMPLEMENTED:
                # Triton answers checks, and cannot be watched.
                return check_health(target, timeout_s=timeout_s)
            return health  # the last that was heard
    return health


def _health(response: health_pb2.HealthCheckResponse) -> Health:
    is_serving = response.status == health_pb2.HealthCheckResponse.SERVING
    return Health.SERVING if is_serving else Health.NOT_SERVING
