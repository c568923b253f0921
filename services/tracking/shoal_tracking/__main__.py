"""The tracking service's process: the only place that builds its parts."""

import time

from shoal.tracking.v1 import tracking_pb2, tracking_pb2_grpc
from shoal_common.channel import open_channel
from shoal_common.metrics import Metrics
from shoal_common.roots import AllowedRoots
from shoal_common.server import ServerBuilder, run_service
from shoal_tracking.config import TrackingConfig
from shoal_tracking.service import TrackingService
from shoal_tracking.sessions import Sessions

SERVICE = tracking_pb2.DESCRIPTOR.services_by_name["TrackingService"].full_name


async def build(config: TrackingConfig) -> ServerBuilder:
    """Returns the server of the tracking service."""
    serving = open_channel(config.serving_target)
    sessions = Sessions(
        serving=serving,
        roots=AllowedRoots(config.allowed_roots),
        clock=time.perf_counter,
        max_session_count=config.max_session_count,
        in_flight_frame_count=config.in_flight_frame_count,
        live_frame_count=config.live_frame_count,
    )
    metrics = Metrics("shoal_tracking")
    metrics.gauge("sessions", "Sessions that are open.", lambda: sessions.session_count)
    metrics.gauge("capacity_sessions", "Most of them.", lambda: config.max_session_count)
    return (
        ServerBuilder(config, metrics)
        .add(
            tracking_pb2_grpc.add_TrackingServiceServicer_to_server,
            TrackingService(sessions),
            SERVICE,
        )
        .depends_on("serving", serving, needed_by=[SERVICE])
        .on_stop(serving.close)
        .on_stop(sessions.aclose)
    )


def main() -> None:
    """Runs the tracking service."""
    run_service("shoal-tracking", TrackingConfig, build)


if __name__ == "__main__":
    main()
