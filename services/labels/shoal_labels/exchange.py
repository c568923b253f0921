"""Import from and export to SLEAP files, with what must hold before and after."""

import asyncio
import os
import shutil
import signal
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import h5py

from shoal_core.errors import FailedPrecondition, InvalidArgument, NotFound
from shoal_core.skeleton import Skeleton
from shoal_labels import slp_child
from shoal_labels.disk_file import partial_path, sha256
from shoal_labels.label_sets import LabelSet, LabelSetKey, Segment
from shoal_labels.slp_child import ChildDied
from shoal_labels.slp_videos import local_path, same_video
from shoal_labels.store import SEGMENTS, LabelStore

_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)


class Exchange:
    """Moves label sets in and out of the store."""

    def __init__(self, *, store: LabelStore, video_folders: Sequence[str]) -> None:
        self._store = store
        self._video_folders = tuple(video_folders)

    async def import_labels(self, project: str, path: Path) -> list[LabelSet]:
        """Imports a SLEAP file; returns one label set per video, in the file's order.

        Label sets that an earlier import of the same bytes made stay as they are, except that
        a video which has been found meanwhile replaces a path that leads nowhere.

        Raises:
            NotFound: LABELS_NOT_FOUND.
            InvalidArgument: LABELS_UNREADABLE.
            OSError: When the disk fails.
        """
        await _check_exists(path)
        target = self._store.folder / SEGMENTS / f"import-{uuid.uuid4().hex[:12]}"
        try:
            imported = await self._read(project, path, target)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        await self._store.publish_import(imported, target)
        return [await self._current(label_set) for label_set, _ in imported]

    async def content_hash(self, path: Path) -> str:
        """Returns the SHA-256 of a file of labels in hexadecimal.

        Raises:
            NotFound: LABELS_NOT_FOUND.
            InvalidArgument: LABELS_UNREADABLE when it is no HDF5 file, as SLEAP's are.
        """
        await _check_exists(path)
        if not await asyncio.to_thread(h5py.is_hdf5, path):
            raise InvalidArgument(
                "LABELS_UNREADABLE",
                f"{path} is not a SLEAP file (HDF5); give a .slp or a .pkg.slp.",
                path=path,
            )
        return await asyncio.to_thread(sha256, path)

    async def export_labels(
        self,
        keys: Sequence[LabelSetKey],
        output: Path,
        video_uris: Sequence[str] = (),
        provenance: Mapping[str, Any] = MappingProxyType({}),
    ) -> tuple[int, int]:
        """Writes label sets into one SLEAP file; returns its labeled frames and instances.

        Args:
            keys: The label sets, in the file's order.
            output: The file to write or to replace; .slp, or .h5 for an analysis file of one.
            video_uris: Where each label set's video lies now; empty for where it lay.
            provenance: Added to the file's provenance.

        Raises:
            NotFound: LABEL_SET_NOT_FOUND.
            FailedPrecondition: SKELETONS_DIFFER or TRACKS_MISSING.
            InvalidArgument: OUTPUT_INVALID or VIDEO_URIS_INVALID.
            DataLoss: SEGMENT_DAMAGED.
            OSError: When the disk fails.
        """
        label_sets = [await self._store.manifest.label_set(key) for key in keys]
        if video_uris:
            label_sets = _moved(label_sets, video_uris)
        await asyncio.to_thread(_check_output, output)
        _check_label_sets(label_sets, output)
        partial = partial_path(output, uuid.uuid4().hex[:8])
        try:
            async with self._store.snapshot(keys) as segments:
                request = self._export_request(label_sets, segments, partial, output)
                request["provenance"] = dict(provenance)
                frame_count, instance_count = await slp_child.run("export", request)
        finally:
            partial.unlink(missing_ok=True)
        return frame_count, instance_count

    @asynccontextmanager
    async def exported(self, keys: Sequence[LabelSetKey]) -> AsyncIterator[BinaryIO]:
        """Yields label sets as one SLEAP file, which has no name any more.

        Raises:
            ShoalError: Those of `export_labels`.
        """
        folder = self._store.folder / SEGMENTS
        path = folder / f"export-{uuid.uuid4().hex[:12]}.slp"  # swept if the process dies here
        try:
            await self.export_labels(keys, path)
            file = await asyncio.to_thread(path.open, "rb")
        finally:
            path.unlink(missing_ok=True)
        with file:
            yield file

    async def _read(
        self, project: str, path: Path, target: Path
    ) -> list[tuple[LabelSet, list[Segment]]]:
        request = {
            "path": str(path),
            "project": project,
            "folder": str(self._store.folder),
            "target": str(target),
            "video_folders": self._video_folders,
        }
        try:
            answer = await slp_child.run("import", request)
        except ChildDied as error:
            if -error.returncode not in _CRASHES:
                raise
            raise slp_child.unreadable(path, "it is damaged so that its reader crashes") from error
        return [
            (
                slp_child.label_set_from_json(item["label_set"]),
                [slp_child.segment_from_json(segment) for segment in item["segments"]],
            )
            for item in answer
        ]

    async def _current(self, imported: LabelSet) -> LabelSet:
        stored = await self._store.manifest.label_set(imported.key)
        was_found = await asyncio.to_thread(_exists, imported)
        if stored.video == imported.video or not was_found:
            return stored
        if await asyncio.to_thread(_exists, stored):
            return stored
        await self._store.replace_video(imported)
        return replace(stored, video=imported.video)

    def _export_request(
        self,
        label_sets: Sequence[LabelSet],
        segments: Sequence[Sequence[Segment]],
        partial: Path,
        output: Path,
    ) -> dict[str, object]:
        return {
            "folder": str(self._store.folder),
            "partial": str(partial),
            "output": str(output),
            "sources": [
                {
                    "label_set": slp_child.label_set_to_json(label_set),
                    "segments": [asdict(segment) for segment in its_segments],
                }
                for label_set, its_segments in zip(label_sets, segments, strict=True)
            ],
        }


async def _check_exists(path: Path) -> None:
    if not await asyncio.to_thread(path.exists):
        raise NotFound("LABELS_NOT_FOUND", f"There is no file {path}.", path=path)


def _exists(label_set: LabelSet) -> bool:
    return Path(local_path(label_set.video.uri)).exists()


def _moved(label_sets: Sequence[LabelSet], video_uris: Sequence[str]) -> list[LabelSet]:
    """Returns the label sets with their videos where they lie now."""
    if len(video_uris) != len(label_sets):
        raise InvalidArgument(
            "VIDEO_URIS_INVALID",
            f"{len(video_uris)} places of videos are given for {len(label_sets)} label sets; give "
            "one for each, or none.",
        )
    return [
        label_set
        if label_set.video.uri == uri
        # The entry of a file that was imported names the place that it had there.
        else replace(label_set, video=replace(label_set.video, uri=uri, sleap_backend=None))
        for label_set, uri in zip(label_sets, video_uris, strict=True)
    ]


def _check_output(output: Path) -> None:
    folder = output.parent
    complaint = None
    if output.suffix not in (".slp", slp_child.ANALYSIS_SUFFIX):
        complaint = "does not end in .slp, or in .h5 for an analysis file; SLEAP opens no others"
    elif output.is_dir():
        complaint = "is a folder; name a file in it"
    elif not folder.is_dir():
        complaint = f"lies in no folder: create {folder} first"
    elif not os.access(folder, os.W_OK | os.X_OK):
        complaint = f"cannot be written: {folder} is read-only for this service"
    if complaint is not None:
        raise InvalidArgument("OUTPUT_INVALID", f"{output} {complaint}.", path=output)


def _check_label_sets(label_sets: Sequence[LabelSet], output: Path) -> None:
    if not label_sets:
        raise InvalidArgument("OUTPUT_INVALID", "Name at least one label set to export.")
    if output.suffix == slp_child.ANALYSIS_SUFFIX and len(label_sets) > 1:
        raise InvalidArgument(
            "OUTPUT_INVALID",
            f"{output} is an analysis file, which holds one video, not {len(label_sets)}; write "
            "one for each, or a .slp.",
            path=output,
        )
    first = label_sets[0]
    for place, label_set in enumerate(label_sets):
        for other in label_sets[:place]:
            if same_video(other.video, label_set.video):
                raise InvalidArgument(
                    "OUTPUT_INVALID",
                    f"{other.key.name} and {label_set.key.name} label the same video; export "
                    "them to files of their own.",
                    label_set=label_set.key.name,
                )
        if _shape(label_set.skeleton) != _shape(first.skeleton):
            raise FailedPrecondition(
                "SKELETONS_DIFFER",
                f"{label_set.key.name} has another skeleton than {first.key.name}; export them "
                "to files of their own.",
                label_set=label_set.key.name,
            )


def _shape(skeleton: Skeleton) -> object:
    """Returns what must be equal for one file; the name need not be."""
    symmetries = {frozenset(pair) for pair in skeleton.symmetries}
    return skeleton.nodes, set(skeleton.edges), symmetries
