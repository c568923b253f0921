"""The facade: one object for one ensemble."""

from typing import Self

import grpc

from shoal_client.jobs import Jobs
from shoal_client.labels import Labels
from shoal_client.models import Models
from shoal_client.targets import Targets
from shoal_client.training import Training
from shoal_client.videos import Videos
from shoal_common.channel import open_sync_channel
from shoal_common.tracing import new_trace_id


class Shoal:
    """A connected ensemble; each service's channel connects when it is first used.

    Every call has a deadline and raises the errors of `shoal_core.errors`.
    """

    models: Models
    """The model registry."""
    jobs: Jobs
    """Durable long work."""
    training: Training
    """Durable work that ends in a model."""
    labels: Labels
    """Labels and predictions."""
    videos: Videos
    """What videos hold."""

    def __init__(self, targets: Targets, project: str) -> None:
        self.trace_id = new_trace_id()
        """Under which the services log what this connection asks of them."""
        self._channels: list[grpc.Channel] = []
        self.models = Models(self._open(targets.serving), f"serving at {targets.serving}")
        self.videos = Videos(self._open(targets.decode), f"decode at {targets.decode}")
        self.labels = Labels(self._open(targets.labels), f"labels at {targets.labels}", project)
        orchestrator = self._open(targets.orchestrator)
        peer = f"orchestrator at {targets.orchestrator}"
        self.jobs = Jobs(orchestrator, peer, project)
        self.training = Training(orchestrator, peer, project)

    @classmethod
    def connect(cls, targets: Targets | None = None, *, project: str = "default") -> Self:
        """Returns the ensemble at `targets`; without any, the one that `shoal up` started."""
        return cls(targets or Targets(), project)

    def close(self) -> None:
        """Closes the channels; running calls end with Unavailable."""
        for channel in self._channels:
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _open(self, target: str) -> grpc.Channel:
        channel = open_sync_channel(target, self.trace_id)
        self._channels.append(channel)
        return channel
