"""`shoal models tune`, and what it found as text."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from shoal_common.inference.tuning import ANY_PROCESSOR, REFERENCE_BACKEND
from shoal_core.errors import InvalidArgument

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from shoal_cli.session import Session
    from shoal_client import ModelVersion
    from shoal_common.inference.tuning import Trial, Tuning

_FRAMES = 32
"""Frames that backends are compared on, spread over the video."""
_MAX_BYTES = 48 << 20
"""Of frames in one message: fewer are taken of large ones."""


def run_tune(arguments: argparse.Namespace, session: "Session", name: str) -> int:
    """Tunes or pins; returns the exit status.

    Args:
        arguments: `video` or `backend`.
        session: A connection to serving and the engine.
        name: Resource name of the model, alias or version.
    """
    if (arguments.video is None) == (arguments.backend is None):
        raise InvalidArgument(
            "TUNING_UNCLEAR", "Give a video to measure on, or --backend to pin one; not both."
        )
    models = session.shoal.models
    if arguments.backend is not None:
        session.progress.step("loading the model")
        version = session.patiently(lambda: models.pin(name, arguments.backend))
    else:
        session.progress.step("reading frames")
        frames = spread_frames(arguments.video)
        session.progress.step("measuring backends")
        version = session.patiently(lambda: models.tune(name, frames))
    print(version.name)
    for line in tuning_lines(version):
        print(f"  {line}")
    return 0


def spread_frames(video: Path) -> "NDArray[np.uint8]":
    """Returns frames of all parts of a video, [F, H, W, C].

    Raises:
        NotFound: VIDEO_NOT_FOUND.
        InvalidArgument: VIDEO_EMPTY or VIDEO_UNREADABLE.
    """
    import numpy as np

    from shoal_media.readers import open_video

    with open_video(video) as reader:
        frame_bytes = int(np.prod(reader.frame_shape_HWC))
        count = min(_FRAMES, reader.info.frame_count, max(1, _MAX_BYTES // frame_bytes))
        places = np.linspace(0, reader.info.frame_count - 1, count).round().astype(int)
        return np.stack([reader.read(int(place)) for place in places])


def tuning_lines(version: "ModelVersion") -> list[str]:
    """Returns what a version's networks run in and, for each backend, what was measured."""
    tuning = version.tuning
    if tuning is None:
        return []
    return [_choice_line(tuning), *(f"  {_trial_line(trial, tuning)}" for trial in tuning.trials)]


def _choice_line(tuning: "Tuning") -> str:
    networks = ", ".join(f"{step} in {backend}" for step, backend in tuning.backends.items())
    where = "pinned" if tuning.processor == ANY_PROCESSOR else f"measured on {tuning.processor}"
    return f"runs {networks} ({where})"


def _trial_line(trial: "Trial", tuning: "Tuning") -> str:
    is_chosen = tuning.backends[trial.step] == trial.backend
    columns = [
        "*" if is_chosen else " ",
        trial.step,
        trial.backend,
        "-" if trial.frame_ms is None else f"{trial.frame_ms:.1f} ms/frame",
    ]
    if trial.median_px is not None and trial.backend != REFERENCE_BACKEND:
        columns.append(f"{trial.median_px:.2g} px (99 %: {trial.p99_px:.2g} px)")
    if trial.refusal:
        columns.append(f"refused: {trial.refusal}")
    return "  ".join(columns)
