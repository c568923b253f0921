"""The label store: segment files and the manifest that makes them visible."""

import asyncio
import contextlib
import logging
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from shoal_labels.columns import PoseColumns, invalid
from shoal_labels.label_sets import LabelSet, LabelSetKey, Segment, SegmentTarget
from shoal_labels.manifest import Manifest
from shoal_labels.segments import SegmentFile, SegmentReader, SegmentWriter
from shoal_labels.unbroken import Unbroken

logger = logging.getLogger(__name__)

SEGMENTS = "segments"
"""Folder of the segment files, below the store's folder."""


class LabelStore:
    """Keeps label sets below one folder; the only writer there."""

    def __init__(self, *, manifest: Manifest, folder: Path) -> None:
        self.manifest = manifest
        self.folder = folder
        # Keeps SQLite to one writer, and files in place between a look-up and their pins.
        self._lock = asyncio.Lock()
        self._pins: Counter[str] = Counter()
        self._doomed: set[str] = set()
        self._unbroken = Unbroken()
        self.draft_count = 0
        """Segments that are being written."""

    async def settle(self) -> None:
        """Waits until what is being made visible is."""
        await self._unbroken.settle()

    async def close(self) -> None:
        """Settles and releases the manifest."""
        await self.settle()
        await self.manifest.close()

    async def sweep(self) -> int:
        """Removes files that no segment refers to; returns how many. For the start only.

        They are left behind when the process dies between writing a file and making it visible.
        """
        known = await self.manifest.segment_paths()
        return await asyncio.to_thread(self._remove_unknown, self.folder / SEGMENTS, known)

    async def create(self, label_set: LabelSet) -> LabelSet:
        """See `Manifest.create_label_set`."""
        async with self._lock:
            return await self.manifest.create_label_set(label_set)

    async def publish_import(
        self, imported: Sequence[tuple[LabelSet, Sequence[Segment]]], files: Path
    ) -> None:
        """Makes imported label sets visible, those that are not there.

        Goes on when the caller is cancelled, so that manifest and files stay together.

        Args:
            imported: Label sets and their finished segments.
            files: The folder of their files; what is not needed in there is removed.
        """
        await self._unbroken.run(self._publish_import(imported, files))

    async def replace_video(self, label_set: LabelSet) -> None:
        """See `Manifest.replace_video`."""
        async with self._lock:
            await self.manifest.replace_video(label_set)

    async def delete(self, key: LabelSetKey) -> None:
        """Deletes a label set and its files.

        Raises:
            NotFound: LABEL_SET_NOT_FOUND.
        """
        async with self._lock:
            self._remove(await self.manifest.delete_label_set(key))

    @contextlib.asynccontextmanager
    async def draft(self, target: SegmentTarget) -> AsyncIterator["SegmentDraft"]:
        """Opens a segment for writing; it vanishes unless it is committed.

        Raises:
            NotFound: LABEL_SET_NOT_FOUND.
            Aborted: FENCING_TOKEN_STALE when a newer writer has begun.
            InvalidArgument: POSES_INVALID when the range is not one.
        """
        label_set = await self.manifest.label_set(target.key)
        target = _with_known_stop(target, label_set)
        async with self._lock:
            await self.manifest.claim(target)
        node_count = len(label_set.skeleton.nodes)
        path = self.folder / SEGMENTS / _file_name(target)
        writer = SegmentWriter(path, node_count)
        draft = SegmentDraft(self, writer, target, node_count)
        self.draft_count += 1
        try:
            yield draft
        finally:
            self.draft_count -= 1
            if not draft.is_finished:
                writer.abandon()

    def segment_of(self, target: SegmentTarget, file: SegmentFile) -> Segment:
        """Returns the segment that a finished file is."""
        return Segment(
            key=target.key,
            index=target.index,
            start=target.start,
            stop=target.stop,
            fencing_token=target.fencing_token,
            path=file.path.relative_to(self.folder).as_posix(),
            checksum=file.checksum,
            frame_count=file.frame_count,
            instance_count=file.instance_count,
        )

    async def publish(self, target: SegmentTarget, writer: SegmentWriter) -> Segment:
        """Makes a finished file visible as a segment and removes the one that it replaces.

        Goes on when the caller is cancelled, so that manifest and files stay together.

        Raises:
            See `Manifest.put_segment`.
        """
        return await self._unbroken.run(self._publish(target, writer))

    async def _publish(self, target: SegmentTarget, writer: SegmentWriter) -> Segment:
        try:
            file = await asyncio.to_thread(writer.finish)
            segment = self.segment_of(target, file)
            async with self._lock:
                replaced = await self.manifest.put_segment(segment)
                self._remove([replaced] if replaced is not None else [])
            logger.info("segment %d of %s is committed", segment.index, segment.key.name)
        except BaseException:
            writer.abandon()
            raise
        return segment

    async def _publish_import(
        self, imported: Sequence[tuple[LabelSet, Sequence[Segment]]], files: Path
    ) -> None:
        async with self._lock:
            try:
                await self.manifest.import_label_sets(imported)
            finally:
                known = await self.manifest.segment_paths()
                await asyncio.to_thread(self._remove_unknown, files, known)

    @contextlib.asynccontextmanager
    async def snapshot(self, keys: Iterable[LabelSetKey]) -> AsyncIterator[list[list[Segment]]]:
        """Gives each label set's segments by frame; their files stay until the end of the block.

        Raises:
            NotFound: LABEL_SET_NOT_FOUND.
        """
        async with self._lock:
            found = [await self.manifest.segments_in_frame_order(key) for key in keys]
            paths = [segment.path for segments in found for segment in segments]
            self._pins.update(paths)
        try:
            yield found
        finally:
            self._pins.subtract(paths)
            self._pins += Counter()  # drops zeros
            self._remove([path for path in paths if path in self._doomed])

    async def read(
        self, key: LabelSetKey, start: int = 0, stop: int | None = None
    ) -> AsyncGenerator[PoseColumns, None]:
        """Yields the frames `start` ≤ index < `stop` in increasing order, at most 1,000 at once.

        Raises:
            NotFound: LABEL_SET_NOT_FOUND.
            DataLoss: SEGMENT_DAMAGED.
        """
        async with self.snapshot([key]) as (segments,):
            for segment in segments:
                if segment.stop <= start or (stop is not None and segment.start >= stop):
                    continue
                path = self.folder / segment.path
                reader = await asyncio.to_thread(SegmentReader, path, segment.checksum, start, stop)
                with reader:
                    while (columns := await asyncio.to_thread(reader.read)) is not None:
                        yield columns

    def _remove(self, paths: Iterable[str]) -> None:
        for path in paths:
            if self._pins[path] > 0:
                self._doomed.add(path)
            else:
                self._doomed.discard(path)
                (self.folder / path).unlink(missing_ok=True)

    def _remove_unknown(self, folder: Path, known: set[str]) -> int:
        if not folder.is_dir():
            return 0
        removed = 0
        for path in [*sorted(folder.rglob("*"), reverse=True), folder]:
            if path.is_dir():
                with contextlib.suppress(OSError):  # not empty
                    path.rmdir()
            elif path.relative_to(self.folder).as_posix() not in known:
                path.unlink()
                removed += 1
        return removed


class SegmentDraft:
    """A segment that is being written; see `LabelStore.draft`."""

    is_finished = False
    """Whether its fate is in the hands of `LabelStore.publish`."""

    def __init__(
        self, store: LabelStore, writer: SegmentWriter, target: SegmentTarget, node_count: int
    ) -> None:
        self._store = store
        self._writer = writer
        self._target = target
        self._node_count = node_count
        self._last_frame = -1

    async def append(self, columns: PoseColumns) -> None:
        """Adds frames after those already there.

        Raises:
            InvalidArgument: POSES_INVALID when they do not fit the segment or the skeleton.
            OSError: When the disk fails.
        """
        columns.check(self._node_count)
        if columns.frame_count == 0:
            return
        first, last = int(columns.frame_indices_F[0]), int(columns.frame_indices_F[-1])
        if first < self._target.start or last >= self._target.stop:
            raise invalid(
                f"frames {first} to {last} do not lie in the segment's range "
                f"{self._target.start} to {self._target.stop - 1}"
            )
        if first <= self._last_frame:
            raise invalid(f"frame {first} comes after frame {self._last_frame}")
        self._last_frame = last
        await asyncio.to_thread(self._writer.append, columns)

    async def commit(self) -> Segment:
        """Makes the segment durable and visible.

        Raises:
            NotFound: LABEL_SET_NOT_FOUND.
            Aborted: FENCING_TOKEN_STALE when a newer writer has begun.
            InvalidArgument: POSES_INVALID when another segment answers for some of its frames.
            OSError: When the disk fails.
        """
        self.is_finished = True
        return await self._store.publish(self._target, self._writer)


def _with_known_stop(target: SegmentTarget, label_set: LabelSet) -> SegmentTarget:
    target = replace(target, stop=target.stop or label_set.video.frame_count)
    if target.index < 0:
        raise invalid(f"segment_index is {target.index}; segments count from 0")
    if not 0 <= target.start < target.stop:
        raise invalid(
            f"the range {target.start} to {target.stop} holds no frames; give start < stop "
            "(stop may be 0 only if the label set's video has a frame_count)"
        )
    return target


def _file_name(target: SegmentTarget) -> str:
    folder = f"{target.key.project}/{target.key.label_set}"
    return f"{folder}/{target.index:06d}-{uuid.uuid4().hex[:12]}.h5"
