"""What `shoal track` is to do, checked as far as it can be before anything is started."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shoal_cli.chosen_frames import chosen_frames, frames_of_video
from shoal_cli.files import check_not_read
from shoal_cli.model_reference import ModelFolders, RegisteredModel, model_reference
from shoal_cli.track_settings import ALL_FRAMES, TrackSettings
from shoal_client.checking import check_parameters
from shoal_core.errors import InvalidArgument, NotFound, PermissionDenied
from shoal_core.frame_runs import Runs, parse_runs
from shoal_core.video_path import imgstore_folder, split_dataset


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
    frames: Mapping[Path, Runs | None]
    """Of each video; None for all."""
    centroids: Path | str | None
    """A file of labels, or the name of a label set."""
    settings: TrackSettings
    save_config: Path | None = None
    """Where to write the settings, every default resolved."""


def plan_tracking(
    videos: Sequence[str],
    output: str,
    settings: TrackSettings,
    *,
    save_config: Path | None = None,
) -> TrackPlan:
    """Returns the plan of a command.

    Raises:
        NotFound: VIDEO_NOT_FOUND, LABELS_NOT_FOUND, FOLDER_NOT_FOUND, MODEL_FOLDER_NOT_FOUND or
            FRAMES_MISSING.
        InvalidArgument: VIDEO_EMPTY, VIDEO_REPEATED, FRAMES_INVALID, PARAMETER_INVALID,
            OUTPUT_INVALID, CENTROIDS_INVALID or what is wrong with the model or the labels.
        PermissionDenied: OUTPUT_FORBIDDEN.
    """
    check_parameters(settings.inference, settings.tracker)
    paths = tuple(_checked_video(video) for video in videos)
    for path in paths:
        if paths.count(path) > 1:
            raise InvalidArgument("VIDEO_REPEATED", f"{path} is given twice; give it once.")
    centroids = _centroids(settings.centroids, paths)
    outputs = _outputs(paths, output)
    reads = [Path(split_dataset(str(path))[0]) for path in paths]
    reads += [centroids] if isinstance(centroids, Path) else []
    reads += [] if settings.labels is None else [Path(settings.labels)]
    written = [made.path for made in outputs]
    if save_config is not None:
        _check_writable(save_config.absolute().parent)
        if save_config.absolute() in written:
            raise InvalidArgument(
                "OUTPUT_INVALID",
                f"{save_config} is the output and would hold the settings; choose another place "
                "for one of them.",
            )
        written.append(save_config)
    for path in written:
        check_not_read(path, reads)
    return TrackPlan(
        videos=paths,
        outputs=outputs,
        model=model_reference(settings.models),
        frames=_frames(settings, paths),
        centroids=centroids,
        settings=settings,
        save_config=save_config,
    )


def _frames(settings: TrackSettings, videos: Sequence[Path]) -> dict[Path, Runs | None]:
    if settings.only is not None and settings.labels is not None:
        path = Path(settings.labels).absolute()
        chosen = chosen_frames(path, settings.only)
        return {video: frames_of_video(chosen, video, path, settings.only) for video in videos}
    if settings.frames in (None, ALL_FRAMES):
        return dict.fromkeys(videos)
    return dict.fromkeys(videos, parse_runs(str(settings.frames)))


def _centroids(centroids: str | None, videos: Sequence[Path]) -> Path | str | None:
    if centroids is None:
        return None
    if centroids.startswith("projects/"):
        if len(videos) > 1:
            raise InvalidArgument(
                "CENTROIDS_INVALID",
                f"{centroids} says where the animals of one video are, but {len(videos)} are "
                "given; give --centroids with a file of labels for all.",
            )
        return centroids
    path = Path(centroids).absolute()
    if not path.is_file():
        raise NotFound("LABELS_NOT_FOUND", f"There is no file of labels {path}.")
    return path


def _checked_video(video: str) -> Path:
    path = Path(imgstore_folder(Path(video).expanduser().absolute()))
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
    if path.suffix not in (".slp", ".h5"):
        raise InvalidArgument(
            "OUTPUT_INVALID",
            f"The output {output} must end in .slp, in .h5 for an analysis file, or in / for a "
            "folder.",
        )
    if path.suffix == ".h5" and len(videos) > 1:
        raise InvalidArgument(
            "OUTPUT_INVALID",
            f"An analysis file holds one video, not {len(videos)}; write a .slp, or {output} for "
            "one video after the other.",
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
