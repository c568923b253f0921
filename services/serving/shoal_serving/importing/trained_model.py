"""One trained network and what it is for, whichever software trained it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shoal_core.errors import InvalidArgument
from shoal_core.skeleton import Skeleton
from shoal_serving.graphs.network import Network


@dataclass(frozen=True)
class TrainedModel:
    """What serving takes from one model folder."""

    network: Network
    skeleton: Skeleton
    """Nodes in the order of the head's channels; of a centroid model: its one point."""
    classes: tuple[str, ...]
    """Identities in the order of the class maps' channels."""
    anchor_part: str | None
    crop_size_px: int | None
    source: str
    """Which software trained it, for example "SLEAP 1.4.1 (Keras)"."""
    files: tuple[Path, ...]
    """The files that were read."""


def order_stages(models: Sequence[TrainedModel]) -> tuple[TrainedModel, ...]:
    """Returns the stages in the order in which they run.

    Raises:
        InvalidArgument: MODEL_KIND_UNSUPPORTED when the folders do not make one model.
    """
    names = sorted(model.network.stage.name for model in models)
    if len(models) == 1:
        return tuple(models)
    if names == ["centered_instance", "centroid"]:
        return tuple(sorted(models, key=lambda model: model.network.stage.name, reverse=True))
    raise InvalidArgument(
        "MODEL_KIND_UNSUPPORTED",
        f"Folders with {' and '.join(names)} networks make no model together; give one model, "
        "or a centroid and a centered_instance model.",
    )
