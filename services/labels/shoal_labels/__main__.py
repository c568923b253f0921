"""The label store's process."""

from shoal.labels.v1 import labels_pb2 as pb
from shoal.labels.v1.labels_pb2_grpc import add_LabelsServiceServicer_to_server
from shoal_common.folder_lock import FolderLock
from shoal_common.metrics import Metrics
from shoal_common.roots import AllowedRoots
from shoal_common.server import ServerBuilder, run_service
from shoal_labels.config import LabelsConfig
from shoal_labels.exchange import Exchange
from shoal_labels.manifest import Manifest
from shoal_labels.service import LabelsService
from shoal_labels.store import LabelStore

SERVICE = pb.DESCRIPTOR.services_by_name["LabelsService"].full_name


async def build(config: LabelsConfig) -> ServerBuilder:
    """Returns the server of a configuration, with the store's folder taken and swept.

    Raises:
        FailedPrecondition: FOLDER_IN_USE or SCHEMA_TOO_NEW.
        DataLoss: MANIFEST_DAMAGED.
    """
    folder = (config.home / "labels").absolute()
    lock = FolderLock(folder)
    manifest = await Manifest.open(f"sqlite+aiosqlite:///{folder}/labels.db")
    store = LabelStore(manifest=manifest, folder=folder)
    await store.sweep()
    service = LabelsService(
        store=store,
        exchange=Exchange(store=store, video_folders=config.video_folders),
        roots=AllowedRoots(config.allowed_roots),
    )

    async def close() -> None:
        await store.close()
        lock.release()

    metrics = Metrics("shoal_labels")
    metrics.gauge("draft_segments", "Segments being written.", lambda: store.draft_count)
    builder = ServerBuilder(config, metrics)
    return builder.add(add_LabelsServiceServicer_to_server, service, SERVICE).on_stop(close)


def main() -> None:
    """Runs the service until it is told to stop."""
    run_service("shoal-labels", LabelsConfig, build)


if __name__ == "__main__":
    main()
