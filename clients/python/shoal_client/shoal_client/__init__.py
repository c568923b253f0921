"""Shoal's Python SDK: models, jobs, training, labels and videos of an ensemble.

    from shoal_client import Shoal

    with Shoal.connect() as shoal:
        job = shoal.jobs.create_track("/data/video.mp4", "models/flies")
        for job in shoal.jobs.watch(job.name):
            print(job.state, job.progress.committed_frame_count)
        shoal.labels.export([job.result_label_set], "/data/video.slp")

Errors are those of `shoal_core.errors`, with a stable `reason`.
"""

from shoal_client.connection import Shoal
from shoal_client.health import Health, check_health
from shoal_client.parameters import (
    ClassGrouping,
    InferenceParameters,
    InstanceFilters,
    PartGrouping,
    WindowTracker,
)
from shoal_client.targets import Targets
from shoal_client.training_types import (
    Artifact,
    ArtifactKept,
    AttemptBegun,
    AttemptEnd,
    AttemptEnded,
    EpochEnded,
    Evaluated,
    JobEvent,
    LogLines,
    Measurement,
    StageProgress,
    StageState,
    SweepAxis,
    SweepTrial,
    TrainingJob,
    TrainingNews,
    TrainingSpec,
    TrainingStage,
    TrainingSweep,
)
from shoal_client.types import (
    Alias,
    ComparedModel,
    ExportSummary,
    Job,
    JobProgress,
    JobState,
    LabelSet,
    Model,
    ModelComparison,
    ModelVersion,
    Video,
)

__all__ = [
    "Alias",
    "Artifact",
    "ArtifactKept",
    "AttemptBegun",
    "AttemptEnd",
    "AttemptEnded",
    "ClassGrouping",
    "ComparedModel",
    "EpochEnded",
    "Evaluated",
    "ExportSummary",
    "Health",
    "InferenceParameters",
    "InstanceFilters",
    "Job",
    "JobEvent",
    "JobProgress",
    "JobState",
    "LabelSet",
    "LogLines",
    "Measurement",
    "Model",
    "ModelComparison",
    "ModelVersion",
    "PartGrouping",
    "Shoal",
    "StageProgress",
    "StageState",
    "SweepAxis",
    "SweepTrial",
    "Targets",
    "TrainingJob",
    "TrainingNews",
    "TrainingSpec",
    "TrainingStage",
    "TrainingSweep",
    "Video",
    "WindowTracker",
    "check_health",
]
