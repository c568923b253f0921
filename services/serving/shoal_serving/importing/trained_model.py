"""One trained network and what it is for, whichever software trained it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shoal_common.inference.contract import CROP_STAGES, PoseContract
from shoal_core.errors import InvalidArgument
from shoal_core.skeleton import Skeleton
from shoal_serving.graphs.network import Network
from shoal_serving.importing.parity_frames import ParityFrames


@dataclass(frozen=True)
class TrainedModel:
    """What serving takes from one model folder."""

    network: Network
    skeleton: Skeleton
    """Nodes in the order of the head's channels; of a centroid model: its one point."""
    classes: tuple[str, ...]
    """Identities in the order of the class maps' channels, or of the class vectors."""
    anchor_part: str | None
    crop_size_px: int | None
    source: str
    """Which software trained it, for example "SLEAP 1.4.1 (Keras)"."""
    files: tuple[Path, ...]
    """The files that were read."""
    target_size_px: tuple[int, int] | None = None
    """(height, width) that training scaled all frames to fit in; None: they kept their size."""
    peak_threshold: float = PoseContract.peak_threshold
    """Confidence-map peaks must exceed this unless the user says otherwise."""
    scores_nodes: bool = False
    """As in the contract."""
    parity_frames: ParityFrames | None = None
    """What the import has to reproduce; None where the software leaves nothing to compare with."""


def order_stages(models: Sequence[TrainedModel]) -> tuple[TrainedModel, ...]:
    """Returns the stages in the order in which they run.

    Raises:
        InvalidArgument: MODEL_KIND_UNSUPPORTED when the folders do not make one model.
    """
    by_stage = sorted(models, key=lambda model: model.network.stage.name in CROP_STAGES)
    names = [model.network.stage.name for model in by_stage]
    if len(names) == 1:
        return tuple(by_stage)
    if len(names) == 2 and names[0] == "centroid" and names[1] in CROP_STAGES:
        return tuple(by_stage)
    raise InvalidArgument(
        "MODEL_KIND_UNSUPPORTED",
        f"Folders with {' and '.join(names)} networks make no model together; give one model, "
        "or a centroid and a centered_instance model (with classes or without).",
    )
