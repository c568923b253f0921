"""The folder that a trained model is written to, whole or not at all."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from shoal_cli.session import Session
from shoal_client import TrainingJob
from shoal_core.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
)

_MARK = "shoal_training.json"
"""What says that a folder is a command's own, which may replace it."""
_LEFT_BEHIND = "checkpoints/last.pt"
"""Only of use to the job itself."""


def check_output(folder: Path) -> Path:
    """Returns the absolute path of a folder that may be written.

    Raises:
        NotFound: FOLDER_NOT_FOUND when there is no folder to make it in.
        InvalidArgument: OUTPUT_INVALID when it is a file or holds something else.
        PermissionDenied: OUTPUT_FORBIDDEN.
    """
    folder = folder.expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise InvalidArgument("OUTPUT_INVALID", f"{folder} is a file; give a folder.")
    if not folder.parent.is_dir():
        raise NotFound("FOLDER_NOT_FOUND", f"There is no folder {folder.parent}; make it first.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _MARK).is_file():
        raise InvalidArgument(
            "OUTPUT_INVALID",
            f"{folder} holds files that `shoal train` has not written; choose another folder.",
        )
    try:
        tempfile.TemporaryFile(dir=folder.parent).close()
    except OSError as error:
        raise PermissionDenied(
            "OUTPUT_FORBIDDEN",
            f"The folder {folder.parent} cannot be written to ({error.strerror}); choose another.",
        ) from error
    return folder


def write_model(session: Session, job: TrainingJob, folder: Path) -> None:
    """Downloads what a job has made in place of what the folder holds.

    One stage fills the folder itself, two get a folder each.

    Raises:
        FailedPrecondition: MODEL_MISSING when the job has no files, OUTPUT_INVALID when they cannot
            be written.
        ResourceExhausted: DISK_FULL.
    """
    with replaced(folder) as new:
        files = new / ".files"  # a stage may be called as one of its files is
        for stage in job.stages:
            _download_stage(session, job, stage.stage, files)
        source = files / job.stages[0].stage if len(job.stages) == 1 else files
        for path in list(source.iterdir()):
            path.rename(new / path.name)
        shutil.rmtree(files)
        mark(new, job.name)


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Yields a new folder that takes the place of `folder` if the block ends without an error.

    Raises:
        FailedPrecondition: OUTPUT_INVALID.
        ResourceExhausted: DISK_FULL.
    """
    new = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    before = folder.with_name(f".{folder.name}.{os.getpid()}.before")
    try:
        new.mkdir()
        yield new
        if folder.exists():
            folder.rename(before)
        new.rename(folder)
    except OSError as error:
        raise _output_error(folder, error) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if before.exists() and not folder.exists():
            before.rename(folder)
        shutil.rmtree(before, ignore_errors=True)


def mark(folder: Path, name: str) -> None:
    """Notes in a folder what its content is from, so that the command may replace it."""
    (folder / _MARK).write_text(json.dumps({"name": name}, indent=2) + "\n")


def _download_stage(session: Session, job: TrainingJob, stage: str, folder: Path) -> None:
    artifacts = session.patiently(
        lambda: list(session.shoal.training.artifacts(job.name, prefix=f"{stage}/"))
    )
    if not any(artifact.path.startswith(f"{stage}/model/") for artifact in artifacts):
        raise FailedPrecondition(
            "MODEL_MISSING",
            f"{job.name} has no model of stage {stage}; train again with another seed "
            "(--set run.seed=1).",
        )
    for artifact in artifacts:
        if artifact.path != f"{stage}/{_LEFT_BEHIND}":
            session.patiently(partial(session.shoal.training.download, job.name, artifact, folder))


def _output_error(folder: Path, error: OSError) -> ResourceExhausted | FailedPrecondition:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceExhausted(
            "DISK_FULL", f"There is no room left for {folder}; free some, the model is kept."
        )
    return FailedPrecondition(
        "OUTPUT_INVALID", f"{folder} cannot be written ({error.strerror}); choose another place."
    )
