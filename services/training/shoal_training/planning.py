"""What a request to train amounts to: `python -m shoal_training.planning`, JSON in and out.

For programs that do not load PyTorch themselves (`shoal train`). On standard input comes one
`PlanRequest`; on standard output goes one object: `labels`, `validation_labels` and `test_labels`
(.slp files), `kind`, `labelled_frame_count`, `stages` (`id`, `configuration`, `description`) and
`warnings`; or `error`, the fields of a `ShoalError`.
"""

import dataclasses
import hashlib
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shoal_core.errors import InvalidArgument, ShoalError
from shoal_media.labels_import import import_labels
from shoal_training.config import ModelKind, TrainingConfig
from shoal_training.config_file import apply_settings, to_values
from shoal_training.description import preview
from shoal_training.labelled_set import LabelledSet, read_labelled_set
from shoal_training.recipes import recipe
from shoal_training.recipes.recipe import RECIPES, kind_of_file
from shoal_training.training_data import TrainingData, open_training_data

STAGES: Mapping[str, Mapping[str, ModelKind]] = {
    "topdown": {"centroid": "centroid", "centered_instance": "centered_instance"},
    "centroid": {"centroid": "centroid"},
    "centered-instance": {"centered_instance": "centered_instance"},
    "bottomup": {"bottomup": "bottomup"},
    "single": {"single_instance": "single_instance"},
    "topdown-id": {
        "centroid": "centroid",
        "centered_instance": "multiclass_centered_instance",
    },
    "bottomup-id": {"bottomup": "multiclass_bottomup"},
}
"""Models by the names that people give them: the id and the kind of each network."""

_BUDGET_SHARES = {"centroid": 0.3, "centered_instance": 0.7}
"""Of two stages: where an animal is is learned sooner than where its nodes are."""


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """What is wanted."""

    labels: Sequence[str]
    """Absolute paths: .slp, .pkg.slp, or what `import_labels` takes."""
    validation_labels: Sequence[str] = ()
    test_labels: Sequence[str] = ()
    kind: str | None = None
    """One of `STAGES`; None: what a recipe's file is for, else what suits the labels."""
    recipe: str = "fast"
    settings: Sequence[str] = ()
    """KEY=VALUE, or ID:KEY=VALUE for one stage."""
    time_budget_s: float | None = None
    """Of all stages together."""
    import_folder: str = ""
    """Where labels of other programs are kept as .slp files."""
    describe: bool = False
    """Whether the networks are built and measured."""


def plan(request: PlanRequest) -> dict[str, Any]:
    """Returns what is to be done, as JSON values, without `warnings`.

    Raises:
        ShoalError: What is wrong with the labels, the recipe or the settings.
    """
    folder = Path(request.import_folder)
    files = [_slp_file(Path(path), folder) for path in request.labels]
    validation = [_slp_file(Path(path), folder) for path in request.validation_labels]
    test = [_slp_file(Path(path), folder) for path in request.test_labels]
    with read_labelled_set([Path(file) for file in files]) as labelled:
        kind = request.kind or _kind(request.recipe, files, labelled)
        frame_count = len(labelled.frames)
    stages = []
    for stage, model_kind in STAGES[kind].items():
        config = _config(request, stage, model_kind, files, len(STAGES[kind]))
        data = replace(config.data, validation_labels=tuple(validation), test_labels=tuple(test))
        stages.append(_stage(stage, replace(config, data=data), wants_figures=request.describe))
    return {
        "labels": files,
        "validation_labels": validation,
        "test_labels": test,
        "kind": kind,
        "labelled_frame_count": frame_count,
        "stages": stages,
    }


def _kind(recipe_name: str, files: Sequence[str], labelled: LabelledSet) -> str:
    if recipe_name in RECIPES or not Path(recipe_name).is_file():
        most = max(len(frame.points_px_IN2) for frame in labelled.frames)
        return "single" if most == 1 else "topdown"
    wanted = kind_of_file(Path(recipe_name), files)
    for name, stages in STAGES.items():
        if [*stages.values()] == [wanted]:
            return name
    raise InvalidArgument(
        "RECIPE_KIND_DIFFERS",
        f"{recipe_name} is for {wanted} models, which are not trained alone; give --kind and a "
        "built-in recipe.",
        kind=wanted,
    )


def _config(
    request: PlanRequest, stage: str, kind: ModelKind, files: Sequence[str], stage_count: int
) -> TrainingConfig:
    config = recipe(request.recipe, kind, files)
    if request.time_budget_s is not None:
        share = _BUDGET_SHARES[stage] if stage_count > 1 else 1.0
        budget_s = request.time_budget_s * share
        optimization = replace(config.optimization, time_budget_s=budget_s)
        config = replace(config, optimization=optimization)
    return apply_settings(config, _of_stage(request, stage))


def _of_stage(request: PlanRequest, stage: str) -> list[str]:
    """Returns the settings that are for a stage, without its name."""
    chosen = []
    for setting in request.settings:
        key, equals, value = setting.partition("=")
        name, colon, rest = key.partition(":")
        if colon and name not in {known for stages in STAGES.values() for known in stages}:
            raise InvalidArgument(
                "CONFIG_INVALID", f"--set {setting}: there is no stage {name!r}; leave it out."
            )
        if not colon or name == stage:
            chosen.append(f"{rest if colon else key}{equals}{value}")
    return chosen


def _stage(stage: str, config: TrainingConfig, *, wants_figures: bool) -> dict[str, Any]:
    """Returns the JSON values of a stage; the labels must be good for it."""
    with open_training_data(config, Path("/")) as data:
        description = _description(data) if wants_figures else None
        resolved = data.config
    # What is learned from is named by the job, and by its content: not by where it lies.
    own = replace(config.data, labels=(), validation_labels=(), test_labels=())
    shown = resolved if wants_figures else replace(config, data=own)
    return {"id": stage, "configuration": to_values(shown), "description": description}


def _description(data: TrainingData) -> dict[str, Any]:
    run, estimated_time_s = preview(data)
    return dataclasses.asdict(run) | {"estimated_time_s": estimated_time_s}


def _slp_file(path: Path, folder: Path) -> str:
    """Returns the SLEAP file of labels; of those of another program, the same one every time."""
    if path.suffix == ".slp":
        return str(path)
    digest = hashlib.sha256(f"{path}\n{_newest_ns(path)}".encode()).hexdigest()[:16]
    output = folder / f"{path.stem}.{digest}.slp"
    if not output.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        partial = output.with_name(f".{output.stem}.{os.getpid()}.slp")
        try:
            import_labels(path, partial)
            partial.replace(output)
        finally:
            partial.unlink(missing_ok=True)
    return str(output)


def _newest_ns(path: Path) -> int:
    """Returns when the labels were changed last; of a project, its newest table."""
    if not path.is_dir():
        return path.stat().st_mtime_ns
    return max((each.stat().st_mtime_ns for each in path.rglob("CollectedData_*")), default=0)


class _Warnings(logging.Handler):
    """Keeps what the parts warn of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps one message, once."""
        message = record.getMessage()
        if message not in self.messages:
            self.messages.append(message)


def main() -> None:
    """Answers one request."""
    warnings = _Warnings()
    logging.getLogger("shoal_training").addHandler(warnings)
    try:
        answer = plan(PlanRequest(**json.load(sys.stdin)))
    except ShoalError as error:
        answer = {"error": error.to_fields()}
    json.dump(answer | {"warnings": warnings.messages}, sys.stdout)


if __name__ == "__main__":
    main()
