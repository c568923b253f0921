"""Labels of DeepLabCut and COCO, made into SLEAP files."""

from pathlib import Path
from typing import Any

from shoal_core.errors import InvalidArgument, NotFound

LABEL_SUFFIXES = (".csv", ".h5", ".json", ".yaml", ".yml")
"""Files that `import_labels` reads."""

_DLC_CONFIG = "config.yaml"


def import_labels(path: Path, output: Path) -> None:
    """Writes the labels of another program as a .slp file that refers to their images.

    Args:
        path: A DeepLabCut project (its folder or config.yaml) or one of its files
            CollectedData_*.csv or .h5 with the images beside it; or a COCO file (.json) whose
            images are where it says, or beside it.
        output: The .slp file; replaced where it exists.

    Raises:
        NotFound: LABELS_NOT_FOUND, or LABELS_IMAGES_MISSING when there is none of the images.
        InvalidArgument: LABELS_UNREADABLE, or LABELS_EMPTY when no animal is labelled.
    """
    source = _source(path)
    labels = _load(source)
    if not any(frame.instances for frame in labels.labeled_frames):
        raise InvalidArgument(
            "LABELS_EMPTY", f"{source} labels no animal; label some frames first.", path=source
        )
    images = [image for video in labels.videos for image in _images(video)]
    if not any(Path(image).exists() for image in images):
        raise NotFound(
            "LABELS_IMAGES_MISSING",
            f"{source} labels images that are not there, {images[0]} first; put them back beside "
            "the labels.",
            path=source,
        )
    labels.save(str(output), format="slp", embed=False, verbose=False)


def _source(path: Path) -> Path:
    """Returns the file to read of a project."""
    source = path / _DLC_CONFIG if path.is_dir() else path
    # The .h5 is a pickle of pandas that DeepLabCut writes beside a .csv with the same numbers.
    if source.suffix == ".h5":
        source = source.with_suffix(".csv")
    if not source.is_file():
        raise NotFound("LABELS_NOT_FOUND", f"There is no file of labels {source}.", path=source)
    if source.suffix.lower() not in LABEL_SUFFIXES:
        raise InvalidArgument(
            "LABELS_UNREADABLE",
            f"{source} is no DeepLabCut project, CSV or COCO file; give one of "
            f"{', '.join(LABEL_SUFFIXES)}.",
            path=source,
        )
    return source


def _load(source: Path) -> Any:
    import sleap_io

    try:
        if source.suffix.lower() == ".json":
            return sleap_io.load_coco(str(source), dataset_root=str(source.parent))
        if source.name == _DLC_CONFIG:
            return sleap_io.load_dlc_project(str(source))
        return sleap_io.load_dlc(str(source))
    except Exception as error:  # sleap-io raises anything on a bad file
        raise InvalidArgument(
            "LABELS_UNREADABLE",
            f"{source} cannot be read as labels ({type(error).__name__}: {error}); check that it "
            "is a DeepLabCut or COCO file and complete.",
            path=source,
        ) from error


def _images(video: Any) -> list[str]:
    names = video.filename if isinstance(video.filename, list) else [video.filename]
    return [str(name) for name in names]
