"""The loss curve of a tiny run is a golden file."""

import tempfile
from pathlib import Path

import pytest
import torch

from shoal_training.config import CosineSchedule, OptimizerConfig
from tests.unit.training.tiny import Recorder, tiny_config, train_tiny

GOLDEN = Path(__file__).parents[2] / "golden/losses/tiny_cpu.txt"
RELATIVE_TOLERANCE = 1e-4  # see golden/README.md


def _losses(folder: Path) -> dict[int, float]:
    torch.set_num_threads(1)
    config = tiny_config(
        epochs=6,
        min_batches_per_epoch=10,
        optimizer=OptimizerConfig(type="adamw", learning_rate=1e-2, weight_decay=1e-2),
        schedule=CosineSchedule(warmup_steps=5),
    )
    recorder = Recorder()
    train_tiny(config, folder, recorder)
    return {report.step: report.loss for report in recorder.batches}


def test_a_tiny_run_has_the_loss_curve_that_it_always_had(tmp_path: Path) -> None:
    lines = [line.split() for line in GOLDEN.read_text().splitlines()]
    expected = {int(step): float(loss) for step, loss in lines}
    assert _losses(tmp_path) == pytest.approx(expected, rel=RELATIVE_TOLERANCE)


def main() -> None:
    """Writes the golden file anew."""
    with tempfile.TemporaryDirectory() as folder:
        losses = _losses(Path(folder))
    GOLDEN.write_text("".join(f"{step} {loss:.9g}\n" for step, loss in losses.items()))


if __name__ == "__main__":
    main()
