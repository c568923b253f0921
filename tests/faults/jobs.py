"""A short job from its creation to the exported file, by a client that asks again."""

import dataclasses
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np

from shoal_client import Job, Shoal, WindowTracker
from shoal_core.errors import Cancelled, DeadlineExceeded, Unavailable
from shoal_core.pose import FramePoses

Result = TypeVar("Result")

FRAMES = range(64)
JOB_SECONDS = 180.0
"""A job that has not ended by then does not end."""

_RETRY_SECONDS = 0.2
_EXPORTED = ("frames", "instances", "pred_points")


@dataclass(frozen=True)
class Outcome:
    """What a job came to."""

    frame_indices: tuple[int, ...]
    """Of the poses in the store, in order."""
    digest: str
    """Of everything that the store and the exported file say about poses, bit for bit."""
    seconds: float


def run_job(shoal: Shoal, video: Path, model: str, output: Path) -> Outcome:
    """Returns what the job of a video comes to.

    Raises:
        ShoalError: Whatever made the job fail.
        TimeoutError: It does not end.
    """
    begun = time.monotonic()
    deadline = begun + JOB_SECONDS
    created = _patiently(
        lambda: shoal.jobs.create_track(str(video), model, frames=FRAMES, tracker=WindowTracker()),
        deadline,
    )
    ended = _patiently(lambda: _wait_for_end(shoal, created, deadline), deadline)
    if ended.error is not None:
        raise ended.error
    label_set = ended.result_label_set
    _patiently(lambda: shoal.labels.export([label_set], str(output)), deadline)
    poses = _patiently(lambda: list(shoal.labels.stream_poses(label_set)), deadline)
    return Outcome(
        frame_indices=tuple(frame.frame_index for frame in poses),
        digest=_digest(poses, output),
        seconds=time.monotonic() - begun,
    )


def _digest(poses: Sequence[FramePoses], output: Path) -> str:
    digest = hashlib.sha256()
    for frame in poses:
        for field in dataclasses.fields(frame):
            digest.update(np.asarray(getattr(frame, field.name)).tobytes())
    digest.update(file_digest(output).encode())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """Returns a digest of everything that an exported file says about poses, bit for bit."""
    digest = hashlib.sha256()
    with h5py.File(path) as file:
        for name in _EXPORTED:
            digest.update(file[name][()].tobytes())
        for track in file["tracks_json"][()]:
            digest.update(track)
    return digest.hexdigest()


def _wait_for_end(shoal: Shoal, job: Job, deadline: float) -> Job:
    for state in shoal.jobs.watch(job.name):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{state.state}, {state.progress}")
    return state


def _patiently(call: Callable[[], Result], deadline: float) -> Result:
    """Returns what an idempotent call returns once its service is there again."""
    while True:
        try:
            return call()
        except (Unavailable, DeadlineExceeded, Cancelled) as error:
            if time.monotonic() > deadline:
                raise TimeoutError(error.message) from error
            time.sleep(_RETRY_SECONDS)
