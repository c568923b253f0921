"""The video entries of SLEAP files ↔ the videos of label sets.

Paths inside a SLEAP file are those of its maker, so a video that is not there is looked for by
its file name: beside the labels file, then in the configured folders.
"""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from shoal_core.image_names import frame_names
from shoal_core.video_path import (
    IMGSTORE_KEY,
    IMGSTORE_METADATA,
    imgstore_folder,
    split_dataset,
)
from shoal_labels.label_sets import Video


def describe(video: Any, labels_path: Path, video_folders: Sequence[str]) -> Video:
    """Returns what a SLEAP file knows of a video.

    Args:
        video: A `sleap_io.Video` that has not been opened. For embedded images it is the video
            that they were taken from, where the file names one.
        labels_path: The SLEAP file.
        video_folders: Where to look for a video that is not beside the labels either.
    """
    while video.source_video is not None:
        video = video.source_video
    backend = dict(video.backend_metadata)
    if isinstance(video.filename, list):
        images = _find_images(video.filename, labels_path, video_folders)
        backend |= {"filename": images[0], "filenames": images}
        uri = str(PurePosixPath(images[0]).parent)
    else:
        found = _find(video.filename, labels_path, video_folders)
        backend["filename"] = found
        uri = str(imgstore_folder(PurePosixPath(found)))
    shape = backend.get("shape") or (0, 0, 0, 0)
    is_gray = backend.get("grayscale")
    return Video(
        uri=uri,
        frame_count=int(shape[0]),
        height_px=int(shape[1]),
        width_px=int(shape[2]),
        channel_count=int(shape[3]) if is_gray is None else (1 if is_gray else 3),
        frame_rate_hz=float(backend.get("fps") or 0),
        sleap_backend=backend,
    )


def entry(video: Video) -> tuple[str | list[str], dict[str, Any]]:
    """Returns file name (or names) and backend metadata of a `sleap_io.Video`."""
    if video.sleap_backend is not None:
        backend = dict(video.sleap_backend)
        return backend.get("filenames") or backend.get("filename") or video.uri, backend
    path, dataset = split_dataset(local_path(video.uri))
    backend = {
        "type": "MediaVideo" if dataset is None else "HDF5Video",
        "filename": path,
        "grayscale": {1: True, 3: False}.get(video.channel_count),
        "bgr": True,
        "dataset": dataset or "",
        "input_format": "" if dataset is None else "channels_last",
        "fps": video.frame_rate_hz or None,
    }
    if video.frame_count and video.height_px and video.width_px and video.channel_count:
        backend["shape"] = [
            video.frame_count,
            video.height_px,
            video.width_px,
            video.channel_count,
        ]
    metadata = Path(path, IMGSTORE_METADATA)
    if metadata.is_file() and IMGSTORE_KEY.encode() in metadata.read_bytes():
        # SLEAP up to 1.4 opens it, by the frame numbers that Shoal uses; later ones cannot.
        index = {"type": "ImgStoreVideo", "index_by_original": True}
        return str(metadata), backend | index | {"filename": str(metadata)}
    images = _images_of(Path(path))
    if images:
        backend |= {"type": "ImageVideo", "filename": images[0], "filenames": images}
    return images or path, backend


def local_path(uri: str) -> str:
    """Returns the path behind a path or a file:// URI; SLEAP knows paths only."""
    parts = urlsplit(uri, allow_fragments=False)
    return unquote(parts.path) if parts.scheme == "file" else uri


def _find(stored: str, labels_path: Path, video_folders: Sequence[str]) -> str:
    """Returns where a video is now, or the stored path if it is nowhere."""
    stored = stored.replace("\\", "/")
    name = PurePosixPath(stored)
    # Every imgstore has a file of this name: the folder is what tells one from another.
    tail = f"{name.parent.name}/{name.name}" if name.name == IMGSTORE_METADATA else name.name
    # A relative path counts from the labels file, never from where this process runs.
    candidates = [labels_path.parent / stored]
    candidates += [Path(folder) / tail for folder in (str(labels_path.parent), *video_folders)]
    found = next((candidate for candidate in candidates if candidate.exists()), None)
    return stored if found is None else str(found.resolve())


def _find_images(
    stored: Sequence[str], labels_path: Path, video_folders: Sequence[str]
) -> list[str]:
    paths = [PurePosixPath(path.replace("\\", "/")) for path in stored]
    folder = Path(_find(str(paths[0].parent), labels_path, video_folders))
    moved = [folder / path.name for path in paths]
    return [str(path) for path in (moved if moved[0].is_file() else paths)]


def _images_of(folder: Path) -> list[str]:
    """Returns the images of a folder in the order of Shoal's frame indices; none of a file."""
    if not folder.is_dir():
        return []
    return [str(folder / name) for name in frame_names(os.listdir(folder))]


def same_video(first: Video, second: Video) -> bool:
    """Returns whether two videos are one, by content where that is known."""
    if first.content_hash and second.content_hash:
        return first.content_hash == second.content_hash
    return local_path(first.uri) == local_path(second.uri)
