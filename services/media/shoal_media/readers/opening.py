"""Chooses the reader for a path."""

from pathlib import Path

from shoal_core.errors import InvalidArgument, NotFound, PermissionDenied
from shoal_core.image_names import IMAGE_SUFFIXES
from shoal_core.video_path import split_dataset
from shoal_media.frames import Channels
from shoal_media.readers.container import ContainerReader
from shoal_media.readers.frame_store import FrameStore, StoredReader
from shoal_media.readers.image_folder import ImageFolder
from shoal_media.readers.imgstore import ImgStore, is_imgstore
from shoal_media.readers.norpix import NorpixSequence
from shoal_media.readers.norpix_header import SEQ_SIGNATURE
from shoal_media.readers.reader import VideoReader
from shoal_media.readers.window import Window

_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_IMAGE_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"BM")


def open_video(
    path: str | Path,
    *,
    channels: Channels | None = None,
    thread_count: int = 1,
    window: Window | None = None,
) -> VideoReader:
    """Returns a reader of the video file, stack, dataset or folder of images at `path`.

    Args:
        path: A file that FFmpeg can demux (mp4, avi, mov, mkv, ...), a TIFF stack, a Norpix
            sequence, an HDF5 file or `.pkg.slp` (`file.h5#dataset/path` where it holds several
            videos), an imgstore, or a folder of images.
        channels: 1 for gray, 3 for RGB; None gives 1 for a gray video and 3 for a colour one.
        thread_count: Decoding threads of a container (at least 1). More than one decodes frames
            in parallel, which helps long sequential reads and slows single random reads a little.
        window: For pixels of more than 8 bits, in a container for gray ones only: the levels
            (low, high) that become 0 and 255. None takes the smallest and the largest level of
            16 evenly spaced frames.

    Raises:
        NotFound: VIDEO_NOT_FOUND when nothing is there, DATASET_NOT_FOUND.
        InvalidArgument: VIDEO_EMPTY (no bytes, no frames, no images), VIDEO_UNREADABLE (not a
            video, or its index was lost when it was cut off), DATASET_AMBIGUOUS,
            WINDOW_INVALID or WINDOW_NOT_APPLICABLE.
        PermissionDenied: VIDEO_FORBIDDEN when the file may not be read.
    """
    path = Path(path)
    store = _store(path, thread_count)
    if store is not None:
        return StoredReader(store, channels=channels, window=window)
    return ContainerReader(path, channels=channels, thread_count=thread_count, window=window)


def _store(path: Path, thread_count: int) -> FrameStore | None:
    """Returns the single pictures at `path`; None if it is for FFmpeg to read."""
    file_name, dataset = split_dataset(str(path))
    if dataset is None and is_imgstore(path):
        return ImgStore(path, thread_count=thread_count)
    if dataset is None and path.is_dir():
        return ImageFolder(path)
    head = _head(Path(file_name))
    if head.startswith(SEQ_SIGNATURE):
        return NorpixSequence(path)
    if head[:4] in _TIFF_SIGNATURES:
        from shoal_media.readers.tiff_stack import TiffStack

        return TiffStack(path)
    if head == _HDF5_SIGNATURE:
        from shoal_media.readers.hdf5_dataset import open_hdf5

        return open_hdf5(path)
    if dataset is not None:
        raise InvalidArgument(
            "VIDEO_UNREADABLE",
            f"{file_name} is no HDF5 file, so it has no dataset {dataset}; check the path.",
            path=path,
        )
    if path.suffix.lower() in IMAGE_SUFFIXES and head.startswith(_IMAGE_SIGNATURES):
        raise InvalidArgument(
            "VIDEO_UNREADABLE",
            f"{path} is a single image; give its folder {path.parent}, whose images are the "
            "frames.",
            path=path,
        )
    return None


def _head(path: Path) -> bytes:
    """Returns the first bytes of a file, which tell its format whatever its name."""
    if not path.exists():
        raise NotFound(
            "VIDEO_NOT_FOUND", f"There is no video at {path}; check the path.", path=path
        )
    try:
        with path.open("rb") as file:
            return file.read(8)
    except IsADirectoryError:
        return b""
    except PermissionError as error:
        raise PermissionDenied(
            "VIDEO_FORBIDDEN",
            f"{path} may not be read by this user; change its permissions.",
            path=path,
        ) from error
