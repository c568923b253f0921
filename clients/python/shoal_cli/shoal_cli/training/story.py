"""What has happened to a training job so far, put together from its news."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shoal_client import (
    AttemptBegun,
    AttemptEnded,
    EpochEnded,
    Evaluated,
    JobEvent,
    Measurement,
    StageProgress,
    StageState,
    TrainingNews,
)


@dataclass
class StageStory:
    """One stage."""

    id: str
    epochs: dict[int, Measurement] = field(default_factory=dict)
    """By epoch: one that an attempt repeats counts as it was the last time."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Of the final evaluation; empty until then."""
    progress: StageProgress | None = None

    @property
    def state(self) -> StageState:
        """Where it stands."""
        return StageState.PENDING if self.progress is None else self.progress.state

    @property
    def last(self) -> Measurement | None:
        """What was measured last, within an epoch or at its end."""
        if self.progress is not None and self.progress.last is not None:
            return self.progress.last
        return self.epochs[max(self.epochs)] if self.epochs else None

    @property
    def best(self) -> Measurement | None:
        """The epoch with the lowest validation loss, the first of equals."""
        validated = [each for each in self.epochs.values() if each.validation_loss is not None]
        return min(validated, key=lambda each: each.validation_loss or 0.0, default=None)

    def losses(self) -> list[float]:
        """Training losses by epoch."""
        return [each.loss for _, each in sorted(self.epochs.items()) if each.loss is not None]

    def validation_losses(self) -> list[float]:
        """Validation losses by epoch."""
        return [
            each.validation_loss
            for _, each in sorted(self.epochs.items())
            if each.validation_loss is not None
        ]


class TrainingStory:
    """A job; told its news in order, it knows the state of each stage."""

    def __init__(self) -> None:
        self.stages: dict[str, StageStory] = {}
        """In the order of the job."""
        self.last_event_number = 0

    def hear(self, news: TrainingNews) -> list[str]:
        """Takes news in; returns what is to be told of it, a line each."""
        for progress in news.job.stages:
            stage = self.stages.setdefault(progress.stage, StageStory(progress.stage))
            stage.progress = progress
        lines = []
        for event in news.events:
            self.last_event_number = max(self.last_event_number, event.number)
            lines += self._hear(event)
        return lines

    def _hear(self, event: JobEvent) -> list[str]:
        stage = self.stages.setdefault(event.stage, StageStory(event.stage))
        match event.what:
            case AttemptBegun(resumes=resumes):
                if event.attempt == 1 and not resumes:
                    return []
                how = "goes on from its last checkpoint" if resumes else "begins again"
                return [f"{stage.id}: attempt {event.attempt} {how}"]
            case EpochEnded(measurement):
                for later in [epoch for epoch in stage.epochs if epoch > measurement.epoch]:
                    del stage.epochs[later]
                stage.epochs[measurement.epoch] = measurement
                return [epoch_text(stage.id, measurement)]
            case Evaluated(metrics):
                stage.metrics = metrics
                return [f"{stage.id}: evaluated, {metrics_text(metrics)}"]
            case AttemptEnded(message=message) if message:
                return [f"{stage.id}: {message}"]
            case _:  # lines of its log and files are shown by other commands
                return []


def epoch_text(stage: str, measured: Measurement) -> str:
    """Returns one line about the end of an epoch, for a file or a pipe."""
    of = f"/{measured.epoch_count}" if measured.epoch_count else ""
    parts = [f"{stage}: epoch {measured.epoch + 1}{of}"]
    for name, value, form in (
        ("loss", measured.loss, ".4g"),
        ("validation", measured.validation_loss, ".4g"),
        ("learning rate", measured.learning_rate, ".2g"),
    ):
        if value is not None:
            parts.append(f"{name} {value:{form}}")
    if measured.samples_per_second is not None:
        parts.append(f"{measured.samples_per_second:.0f} samples/s")
    return " · ".join(parts)


_SHOWN_METRICS = {
    "poses.map": "mAP {:.3f}",
    "poses.dist_p50_px": "median error {:.2f} px",
    "centroids.precision": "precision {:.3f}",
    "centroids.recall": "recall {:.3f}",
    "centroids.dist_p50_px": "median error {:.2f} px",
    "identities.accuracy": "identities {:.3f}",
}
"""Figures that tell most, of models of every kind, and how they are written."""


def metrics_text(metrics: Mapping[str, float]) -> str:
    """Returns the figures that tell most."""
    known = [form.format(metrics[name]) for name, form in _SHOWN_METRICS.items() if name in metrics]
    return ", ".join(known) or "no figures"
