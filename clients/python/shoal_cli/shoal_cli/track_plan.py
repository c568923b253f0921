"""What `shoal track` is to do, checked as far as it can be before anything is started."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shoal_cli.files import check_not_read
from shoal_cli.frame_range import parse_frames
from shoal_cli.model_reference import ModelFolders, RegisteredModel, model_reference
from shoal_cli.track_settings import TrackSettings
from shoal_core.errors import InvalidArgument, NotFound, PermissionDenied
from shoal_core.video_path import split_dataset


@dataclass(frozen=True)
class Output:
    """A file to write and the videos that it holds."""

    path: Path
    videos: tuple[Path, ...]


@dataclass(frozen=True)
class TrackPlan:
    """A checked command."""

    videos: tuple[Path, ...]
    outputs: tuple[Output, ...]
    model: RegisteredModel | ModelFolders
    frames: range | None
    centroids: Path | None
    settings: TrackSettings


def plan_tracking(videos: Sequence[str], output: str, settings: TrackSettings) -> TrackPlan:
    """Returns the plan of a command.

    Raises:
        NotFound: VIDEO_NOT_FOUND, LABELS_NOT_FOUND, FOLDER_NOT_FOUND or MODEL_FOLDER_NOT_FOUND.
        InvalidArgument: VIDEO_EMPTY, VIDEO_REPEATED, FRAMES_INVALID, OUTPUT_INVALID or what is
            wrong with the model.
        PermissionDenied: OUTPUT_FORBIDDEN.
    """
    paths = tuple(_checked_video(video) for video in videos)
    for path in paths:
        if paths.count(path) > 1:
            raise InvalidArgument("VIDEO_REPEATED", f"{path} is given twice; give it once.")
    centroids = None if settings.centroids is None else Path(settings.centroids).absolute()
    if centroids is not None and not centroids.is_file():
        raise NotFound("LABELS_NOT_FOUND", f"There is no file of labels {centroids}.")
    outputs = _outputs(paths, output)
    files = [Path(split_dataset(str(path))[0]) for path in paths]
    for made in outputs:
        check_not_read(made.path, files if centroids is None else [*files, centroids])
    return TrackPlan(
        videos=paths,
        outputs=outputs,
        model=model_reference(settings.models),
        frames=None if settings.frames is None else parse_frames(settings.frames),
        centroids=centroids,
        settings=settings,
    )


def _checked_video(video: str) -> Path:
    path = Path(video).expanduser().absolute()
    file = Path(split_dataset(str(path))[0])
    if not file.exists():
        raise NotFound("VIDEO_NOT_FOUND", f"There is no video {path}; check the path.", path=path)
    if file.is_file() and file.stat().st_size == 0:
        raise InvalidArgument(
            "VIDEO_EMPTY", f"The video {path} is an empty file; copy it again.", path=path
        )
    return path


def _outputs(videos: tuple[Path, ...], output: str) -> tuple[Output, ...]:
    path = Path(output).expanduser().absolute()
    if output.endswith(("/", os.sep)):
        _check_writable(path if path.exists() else path.parent)
        return _one_per_video(videos, path)
    if path.is_dir():
        raise InvalidArgument("OUTPUT_INVALID", f"{path} is a folder; write {output}/ to fill it.")
    if path.suffix != ".slp":
        raise InvalidArgument(
            "OUTPUT_INVALID", f"The output {output} must end in .slp, or in / for a folder."
        )
    _check_writable(path.parent)
    return (Output(path, videos),)


def _one_per_video(videos: tuple[Path, ...], folder: Path) -> tuple[Output, ...]:
    made: dict[Path, Path] = {}
    for video in videos:
        path = folder / f"{_result_name(video)}.slp"
        if path in made:
            raise InvalidArgument(
                "OUTPUT_INVALID",
                f"{made[path]} and {video} would both become {path}; give them one after the "
                "other, with different outputs.",
            )
        made[path] = video
    return tuple(Output(path, (video,)) for path, video in made.items())


def _result_name(video: Path) -> str:
    file, dataset = split_dataset(str(video))
    name = video.name if video.is_dir() else Path(file).stem
    return name if dataset is None else f"{name}.{dataset.strip('/').replace('/', '.')}"


def _check_writable(folder: Path) -> None:
    if not folder.is_dir():
        raise NotFound(
            "FOLDER_NOT_FOUND", f"There is no folder {folder}; make it first.", path=folder
        )
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise PermissionDenied(
            "OUTPUT_FORBIDDEN",
            f"The folder {folder} cannot be written to ({error.strerror}); choose another.",
            path=folder,
        ) from error
