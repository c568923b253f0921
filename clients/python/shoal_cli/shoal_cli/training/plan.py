"""What `shoal train` is to do: resolved and described by the training program.

The command itself never loads PyTorch, so the program runs as a process of its own and answers in
JSON (`python -m shoal_training.planning`).
"""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shoal_client import TrainingSpec, TrainingStage
from shoal_core.errors import FailedPrecondition, Internal, InvalidArgument, ShoalError

PLANNER = (sys.executable, "-P", "-m", "shoal_training.planning")
"""The program that plans."""


@dataclass(frozen=True)
class TrainRequest:
    """What the command line says, in the planner's words."""

    labels: tuple[str, ...]
    """Absolute paths: .slp, .pkg.slp, a DeepLabCut project or CSV, a COCO file."""
    validation_labels: tuple[str, ...] = ()
    test_labels: tuple[str, ...] = ()
    kind: str | None = None
    """topdown, centroid and so on; None: what suits the labels."""
    recipe: str = "fast"
    """Name of a built-in recipe, or a file."""
    settings: tuple[str, ...] = ()
    """KEY=VALUE, the last word on values of the configuration."""
    time_budget_s: float | None = None
    """Of all stages together."""
    import_folder: str = ""
    """Where labels that are no SLEAP file are kept as one."""
    describe: bool = False
    """Whether networks are built and measured, which takes seconds."""


@dataclass(frozen=True)
class TrainPlan:
    """What the training program makes of a request."""

    labels: tuple[str, ...]
    """SLEAP files."""
    validation_labels: tuple[str, ...]
    test_labels: tuple[str, ...]
    kind: str
    labelled_frame_count: int
    stages: tuple[TrainingStage, ...]
    descriptions: Mapping[str, Mapping[str, Any]]
    """What would run, by stage; empty unless it was asked for."""
    warnings: tuple[str, ...]

    def spec(self, monitor_endpoints: tuple[str, ...] = ()) -> TrainingSpec:
        """Returns what a job is told."""
        return TrainingSpec(
            labels=self.labels,
            stages=self.stages,
            validation_labels=self.validation_labels,
            test_labels=self.test_labels,
            monitor_endpoints=monitor_endpoints,
        )


def plan_training(request: TrainRequest, command: Sequence[str] = PLANNER) -> TrainPlan:
    """Returns the plan of a request.

    Args:
        request: What is wanted.
        command: The program that plans.

    Raises:
        FailedPrecondition: PART_NOT_INSTALLED.
        ShoalError: what the program says about labels, recipe or settings.
        Internal: PLANNER_FAILED when it ends without an answer.
    """
    if command is PLANNER and importlib.util.find_spec("shoal_training") is None:
        raise FailedPrecondition(
            "PART_NOT_INSTALLED",
            "This command needs shoal_training; run pip install 'shoal-cli[train]'.",
        )
    done = subprocess.run(
        command, input=json.dumps(asdict(request)), capture_output=True, text=True, check=False
    )
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        said = done.stderr.strip().splitlines()
        why = said[-1] if said else f"status {done.returncode}"
        raise Internal("PLANNER_FAILED", f"The training program does not plan ({why}).") from error
    if "error" in answer:
        raise ShoalError.from_fields(answer["error"])
    return TrainPlan(
        labels=tuple(answer["labels"]),
        validation_labels=tuple(answer["validation_labels"]),
        test_labels=tuple(answer["test_labels"]),
        kind=answer["kind"],
        labelled_frame_count=answer["labelled_frame_count"],
        stages=tuple(
            TrainingStage(stage["id"], stage["configuration"]) for stage in answer["stages"]
        ),
        descriptions={
            stage["id"]: stage["description"] for stage in answer["stages"] if stage["description"]
        },
        warnings=tuple(answer["warnings"]),
    )


def checked_labels(given: Sequence[str]) -> tuple[str, ...]:
    """Returns absolute paths of files or projects that are there.

    Raises:
        InvalidArgument: LABELS_NOT_FOUND.
    """
    paths = [Path(label).expanduser().absolute() for label in given]
    for path in paths:
        if not path.exists():
            raise InvalidArgument(
                "LABELS_NOT_FOUND", f"There are no labels {path}; check the path.", path=path
            )
    return tuple(map(str, paths))
