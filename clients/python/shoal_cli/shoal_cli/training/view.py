"""How a training job looks: a few lines about each stage."""

from collections.abc import Sequence
from itertools import pairwise
from math import log

from shoal_cli.progress import duration_text
from shoal_cli.training.story import StageStory, TrainingStory, metrics_text
from shoal_client import Measurement, StageState

_BAR_WIDTH = 24
_CURVE_WIDTH = 32
_LEVELS = "▁▂▃▄▅▆▇█"


def view_lines(story: TrainingStory, width: int) -> list[str]:
    """Returns what a terminal of so many columns shows; the stages in their order."""
    lines = [line for stage in story.stages.values() for line in _stage_lines(stage)]
    return [line[:width] for line in lines]


def _stage_lines(stage: StageStory) -> list[str]:
    match stage.state:
        case StageState.PENDING:
            return [f"{stage.id}: waits"]
        case StageState.SUCCEEDED:
            return [f"{stage.id}: done{_result_text(stage)}"]
        case StageState.FAILED:
            return [f"{stage.id}: failed"]
        case StageState.RUNNING:
            return _running_lines(stage)


def _running_lines(stage: StageStory) -> list[str]:
    last = stage.last
    if last is None:
        return [f"{stage.id}: prepares"]
    best = stage.best
    finishing = stage.progress is not None and stage.progress.stop_requested
    lines = [f"{stage.id}{' (finishes)' if finishing else ''} {progress_text(last)}"]
    losses, validation_losses = stage.losses(), stage.validation_losses()
    if last.loss is not None:
        lines.append(_curve_line("loss", last.loss, losses))
    if validation_losses:
        tail = ""
        if best is not None and best.validation_loss is not None:
            tail = f" best {best.validation_loss:.4g} in epoch {best.epoch + 1}"
        lines.append(_curve_line("validation", validation_losses[-1], validation_losses) + tail)
    if stage.metrics:
        lines.append(f"  {metrics_text(stage.metrics)}")
    return lines


def progress_text(last: Measurement) -> str:
    """Returns epochs, speed and the time that is left."""
    parts = []
    if last.epoch_count:
        done = min(1.0, last.epoch / last.epoch_count)
        filled = int(done * _BAR_WIDTH)
        bar = "█" * filled + "·" * (_BAR_WIDTH - filled)
        parts.append(f"{bar} epoch {last.epoch + 1}/{last.epoch_count}")
    else:
        parts.append(f"epoch {last.epoch + 1}")
    if last.samples_per_second is not None:
        parts.append(f"{last.samples_per_second:.0f} samples/s")
    if last.learning_rate is not None:
        parts.append(f"learning rate {last.learning_rate:.2g}")
    if last.remaining_s is not None:
        parts.append(f"{duration_text(last.remaining_s)} left")
    return " · ".join(parts)


def _curve_line(name: str, value: float, values: Sequence[float]) -> str:
    return f"  {name:<10} {value:<9.4g} {curve_text(values)}".rstrip()


def curve_text(values: Sequence[float]) -> str:
    """Returns the course of a loss as a row of blocks, at most 32, on a logarithmic scale.

    Each block is the mean of its part of the values; the highest one is the tallest.
    """
    if len(values) < 2 or min(values) <= 0:
        return ""
    count = min(_CURVE_WIDTH, len(values))
    bounds = [round(index * len(values) / count) for index in range(count + 1)]
    means = [sum(log(value) for value in values[a:b]) / (b - a) for a, b in pairwise(bounds)]
    low, span = min(means), max(means) - min(means)
    if span == 0:
        return _LEVELS[0] * count
    top = len(_LEVELS) - 1
    return "".join(_LEVELS[round((mean - low) / span * top)] for mean in means)


def _result_text(stage: StageStory) -> str:
    parts = []
    best = stage.best
    if best is not None and best.validation_loss is not None:
        parts.append(f" after {len(stage.epochs)} epochs, validation {best.validation_loss:.4g}")
    if stage.metrics:
        parts.append(f" {metrics_text(stage.metrics)}")
    return " ·".join(parts)
