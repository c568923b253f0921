"""The network of a run folder, as it was trained."""

from dataclasses import dataclass
from pathlib import Path

import torch

from shoal_core.errors import FailedPrecondition, NotFound
from shoal_media.labels_file import read_labels
from shoal_training.checkpoint import load_best
from shoal_training.config import TrainingConfig
from shoal_training.config_file import read_config
from shoal_training.heads import head_specs
from shoal_training.model_spec import ModelSpec, model_spec
from shoal_training.networks import PoseNetwork, build_network
from shoal_training.predict import Predictor
from shoal_training.run_folder import CONFIG


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """A run's network with its best weights."""

    config: TrainingConfig
    """Resolved."""
    spec: ModelSpec
    network: PoseNetwork
    """In evaluation mode, on the CPU."""

    def predictor(self, device: torch.device | None = None) -> Predictor:
        """Returns what finds poses with it; the network goes to the device (None: the CPU)."""
        network = self.network.to(device or torch.device("cpu")).inference_network()
        return Predictor(network.eval(), self.spec, device)


def open_trained_run(folder: Path, weights: dict[str, torch.Tensor] | None = None) -> TrainedRun:
    """Returns the network of a run.

    The skeleton is that of the labels that it was trained on, which must be there still.

    Args:
        folder: a run's folder, or the model folder in it.
        weights: other weights of the network; None: the best of the run.

    Raises:
        NotFound: RUN_NOT_FOUND when the folder is none of a run; CHECKPOINT_MISSING before the
            first epoch is over; LABELS_NOT_FOUND.
        DataLoss: CHECKPOINT_DAMAGED.
        FailedPrecondition: WEIGHTS_DIFFER when the weights are of another network.
        InvalidArgument: CONFIG_INVALID.
    """
    run = folder if (folder / CONFIG).is_file() else folder.parent
    if not (run / CONFIG).is_file():
        raise NotFound(
            "RUN_NOT_FOUND",
            f"{folder} is no folder of a training run (it has no {CONFIG}); give the folder that "
            "the run was told to write.",
            folder=folder,
        )
    config = read_config(run / CONFIG)
    skeleton = read_labels(Path(config.data.labels[0]), prefer="user").skeleton
    classes = config.heads.classes
    heads = head_specs(config.kind, config.heads, skeleton, len(classes))
    network = build_network(config.network, config.data.channels or 1, heads)
    try:
        network.load_state_dict(load_best(run).network if weights is None else weights)
    except RuntimeError as error:  # what PyTorch says lists every tensor
        raise FailedPrecondition(
            "WEIGHTS_DIFFER",
            f"The weights of {run} are of another network than its {CONFIG} describes; use the "
            "version of Shoal that trained it, or train it anew.",
            folder=run,
        ) from error
    return TrainedRun(config, model_spec(config, network, skeleton, classes), network.eval())
