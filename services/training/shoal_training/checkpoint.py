"""What a run needs to go on after a kill, and the best network so far."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from shoal_core.errors import DataLoss, NotFound
from shoal_training.durable import write_durably

LAST = Path("checkpoints/last.pt")
BEST = Path("checkpoints/best.pt")
FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Best:
    """The network with the lowest validation loss so far; the last one without validation."""

    network: dict[str, torch.Tensor]
    """Weights that validation used: the running mean where there is one."""
    epoch: int
    """Epochs that were over when it was found, 1 for the first."""
    loss: float
    """Of the validation split (of training, where there is none)."""


@dataclass(frozen=True, kw_only=True)
class Last:
    """Everything that the rest of a run hangs on."""

    network: dict[str, torch.Tensor]
    mean_network: dict[str, torch.Tensor] | None
    """The running mean of the weights."""
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    patience: dict[str, Any]
    scaler: dict[str, Any]
    random_states: dict[str, torch.Tensor]
    """PyTorch's generators by device; data is drawn by (seed, epoch, position) alone."""
    epochs: int
    """Epochs that are over."""
    steps: int
    seconds: float
    """Time used so far."""


def save_last(folder: Path, last: Last) -> None:
    """Writes `checkpoints/last.pt` of a run folder.

    Raises:
        ResourceExhausted: DISK_FULL; the checkpoint before is still there.
    """
    _save(folder / LAST, vars(last))


def save_best(folder: Path, best: Best) -> None:
    """Writes `checkpoints/best.pt` of a run folder.

    Raises:
        ResourceExhausted: DISK_FULL; the checkpoint before is still there.
    """
    _save(folder / BEST, vars(best))


def load_last(folder: Path) -> Last | None:
    """Returns the last checkpoint, on the CPU; None when no epoch has ended yet.

    Raises:
        DataLoss: CHECKPOINT_DAMAGED when it cannot be read.
    """
    path = folder / LAST
    return Last(**_load(path)) if path.exists() else None


def load_best(folder: Path) -> Best:
    """Returns the best network so far, on the CPU.

    Raises:
        NotFound: CHECKPOINT_MISSING when no epoch has ended yet.
        DataLoss: CHECKPOINT_DAMAGED when it cannot be read.
    """
    path = folder / BEST
    if not path.exists():
        raise NotFound(
            "CHECKPOINT_MISSING",
            f"There is no {path}: no epoch of this run has ended; train it first.",
            path=path,
        )
    return Best(**_load(path))


def random_states(device: torch.device) -> dict[str, torch.Tensor]:
    """Returns the states of the generators that this process draws from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_random_states(states: dict[str, torch.Tensor], device: torch.device) -> None:
    """Goes on where the generators were; one of another kind of device goes on as it is."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


def _save(path: Path, fields: dict[str, Any]) -> None:
    # In memory first: an archive that PyTorch writes itself fails without saying why.
    buffer = io.BytesIO()
    torch.save({"format_version": FORMAT_VERSION, **fields}, buffer)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, buffer.getbuffer())


def _load(path: Path) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of many types, where the archive is damaged
        raise DataLoss(
            "CHECKPOINT_DAMAGED",
            f"{path} cannot be read ({type(error).__name__}); remove it to begin again.",
            path=path,
        ) from error
    version = fields.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise DataLoss(
            "CHECKPOINT_DAMAGED",
            f"{path} has format {version}, but this Shoal reads {FORMAT_VERSION}; train it anew.",
            path=path,
        )
    return fields
