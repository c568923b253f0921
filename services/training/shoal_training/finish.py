"""What follows training: figures and pictures of the best network, and its model folder."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from shoal_training.checkpoint import load_best
from shoal_training.devices import Device
from shoal_training.durable import write_durably
from shoal_training.evaluate import evaluate_frames
from shoal_training.export import ModelDescription, export_model
from shoal_training.held_out import score_held_out
from shoal_training.journal import LOG
from shoal_training.model_spec import model_spec
from shoal_training.networks import PoseNetwork
from shoal_training.parity import find_parity_frames
from shoal_training.plots.evaluation_pictures import draw_evaluation
from shoal_training.plots.loss_curves import draw_loss_curves, read_log
from shoal_training.predict import Predictor
from shoal_training.training_data import TrainingData

LOGGER = logging.getLogger(__name__)
METRICS = "metrics.json"
PLOTS = "plots"
MODEL = "model"


def finish(
    data: TrainingData,
    network: PoseNetwork,
    run_folder: Path,
    device: Device,
    limit_s: float | None,
    heartbeat: Callable[[], None],
) -> None:
    """Evaluates the best network on the held-out frames and writes its model folder.

    Args:
        data: Labels, split and resolved configuration.
        network: Takes the weights of the best checkpoint.
        run_folder: Where `metrics.json`, `plots/` and `model/` go.
        device: Where the network is.
        limit_s: Time that scoring the held-out frames may take; None: all are scored.
        heartbeat: Called after every frame.

    Raises:
        NotFound: CHECKPOINT_MISSING when no epoch has ended.
        ResourceExhausted: DISK_FULL.
    """
    network.load_state_dict(load_best(run_folder).network)
    network.eval()
    labelled, config = data.labelled, data.config
    spec = model_spec(config, network, labelled.skeleton, labelled.classes)
    predictor = Predictor(network.inference_network().eval(), spec, device.torch_device)
    scored = score_held_out(data, predictor, limit_s, heartbeat)
    evaluation = evaluate_frames(scored, spec, px_per_mm=config.data.px_per_mm)
    write_durably(run_folder / METRICS, evaluation.to_json().encode())
    heartbeat()
    plots = run_folder / PLOTS
    draw_evaluation(plots, predictor, labelled, scored, px_per_mm=config.data.px_per_mm)
    draw_loss_curves(plots / "loss.png", read_log(run_folder / LOG))
    heartbeat()
    parity = find_parity_frames(
        predictor, labelled, [frame.labelled for frame in scored], heartbeat
    )
    if np.isnan(parity.points_px_FIN2).all():
        LOGGER.warning(
            "The model finds nothing in the frames that go with it, so that it cannot be imported "
            "into serving; train it for longer, or with more labels."
        )
    description = ModelDescription(
        spec=spec,
        name=config.name,
        training_data_hash=_hash(config.data.labels),
        evaluation=evaluation.figures(),
    )
    export_model(network, description, parity, run_folder / MODEL)
    LOGGER.info("The model is in %s.", run_folder / MODEL)


def _hash(labels: Sequence[str]) -> str:
    """Returns the SHA-256 of the files of labels, one after another."""
    digest = hashlib.sha256()
    for name in labels:
        with Path(name).open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
