"""The model folder: a network in the form that `shoal models import` takes."""

import io
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_training.durable import disk_error, flush_folder, write_durably
from shoal_training.export.description import ModelDescription
from shoal_training.export.onnx_graph import export_graph
from shoal_training.networks import PoseNetwork

DESCRIPTION_FILE = "shoal_model.json"
GRAPH_FILE = "network.onnx"
PARITY_FILE = "parity.npz"


@dataclass(frozen=True, kw_only=True)
class ParityFrames:
    """Real frames and what PyTorch finds in them, against which an import is checked.

    F frames, I instances, N nodes (of centroid models: 1), C channels.
    """

    images_FHWC: NDArray[np.uint8]
    points_px_FIN2: NDArray[np.float32]
    """Frame pixels, (x, y); NaN where not found, and for instances that a frame has fewer."""
    centroids_px_FI2: NDArray[np.float32] | None = None
    """Of models that see crops: where they are cut; NaN where a frame has fewer."""
    class_indices_FI: NDArray[np.int64] | None = None
    """Of ID models: the class that was assigned; -1: none."""

    def to_bytes(self) -> bytes:
        """Returns the contents of the file."""
        arrays: dict[str, Any] = {
            "images": self.images_FHWC,
            "points_px": self.points_px_FIN2.astype(np.float32),
        }
        if self.centroids_px_FI2 is not None:
            arrays["centroids_px"] = self.centroids_px_FI2.astype(np.float32)
        if self.class_indices_FI is not None:
            arrays["class_indices"] = self.class_indices_FI
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        return file.getvalue()


def export_model(
    network: PoseNetwork, description: ModelDescription, parity: ParityFrames, folder: Path
) -> None:
    """Writes the model folder; one that is there is replaced.

    The folder appears whole: it is written beside, flushed and renamed.

    Args:
        network: The trained network; left in its mode and on its device.
        description: What serving has to know.
        parity: What this very network finds.
        folder: Where to; its parent exists.

    Raises:
        ResourceExhausted: DISK_FULL when there is no room; what was there is still there.
    """
    graph = export_graph(network).SerializeToString()
    staged = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        staged.mkdir()
        write_durably(staged / GRAPH_FILE, graph)
        write_durably(staged / PARITY_FILE, parity.to_bytes())
        write_durably(staged / DESCRIPTION_FILE, description.to_json().encode())
        _replace(folder, staged)
    except OSError as error:
        raise disk_error(error, folder) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _replace(folder: Path, staged: Path) -> None:
    """Puts the staged folder in the place of the one that is there, which goes."""
    old = folder.with_name(f"{staged.name}.old")
    if folder.exists():
        os.rename(folder, old)
    os.rename(staged, folder)
    flush_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)
