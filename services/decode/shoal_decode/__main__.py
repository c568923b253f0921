"""The process of shoal-decode: the only place that builds its parts."""

from shoal.decode.v1 import decode_pb2_grpc
from shoal_common.metrics import Metrics
from shoal_common.roots import AllowedRoots
from shoal_common.server import ServerBuilder, run_service
from shoal_decode.config import DecodeConfig
from shoal_decode.open_videos import OpenVideos
from shoal_decode.service import DecodeService

SERVICE_NAME = "shoal.decode.v1.DecodeService"


async def build(config: DecodeConfig) -> ServerBuilder:
    """Returns the server of a decode service."""
    videos = OpenVideos(limit=config.max_open_videos)
    service = DecodeService(videos=videos, roots=AllowedRoots(config.allowed_roots))

    metrics = Metrics("shoal_decode")
    metrics.gauge("busy_videos", "Videos being read.", lambda: videos.busy_count)
    metrics.gauge("idle_videos", "Videos kept open.", lambda: videos.idle_count)
    metrics.gauge("capacity_videos", "Videos that may be open.", lambda: videos.limit)

    async def close() -> None:
        videos.close()

    return (
        ServerBuilder(config, metrics)
        .add(decode_pb2_grpc.add_DecodeServiceServicer_to_server, service, SERVICE_NAME)
        .on_stop(close)
    )


def main() -> None:
    """Runs the process."""
    run_service("shoal-decode", DecodeConfig, build)


if __name__ == "__main__":
    main()
