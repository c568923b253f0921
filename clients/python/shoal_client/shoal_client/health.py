"""Whether a service can be reached and serves, through grpc.health.v1."""

import enum

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shoal_common.channel import open_sync_channel


class Health(enum.Enum):
    """What a service answers when it is asked how it does."""

    SERVING = "serving"
    NOT_SERVING = "not serving"
    UNREACHABLE = "unreachable"


def check_health(target: str, *, timeout_s: float, wait: bool = False) -> Health:
    """Returns how the service at `target` does; with `wait`, waits for it to come up."""
    with open_sync_channel(target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            response = stub.Check(  # type: ignore[attr-defined]  # its stubs name no methods
                health_pb2.HealthCheckRequest(), timeout=timeout_s, wait_for_ready=wait
            )
        except grpc.RpcError:
            return Health.UNREACHABLE
    serving = response.status == health_pb2.HealthCheckResponse.SERVING
    return Health.SERVING if serving else Health.NOT_SERVING
