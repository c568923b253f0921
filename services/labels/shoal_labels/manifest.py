"""The manifest: which label sets exist and which segment files make them up.

Every method is one transaction, which runs to its end also if the caller is cancelled. A reader
sees a segment as a whole or not at all.
"""

import contextlib
import errno
import functools
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from sqlalchemy import delete, func, insert, inspect, select, update
from sqlalchemy.exc import DatabaseError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shoal_core.errors import (
    Aborted,
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
)
from shoal_labels.label_sets import LabelSet, LabelSetKey, Segment, SegmentTarget
from shoal_labels.rows import (
    find_label_set,
    insert_label_set,
    insert_segment,
    label_set_not_found,
    label_set_of,
    label_sets_query,
    of_label_set,
    of_segment,
    require_label_set,
    segment_of,
)
from shoal_labels.schema import (
    VERSION,
    WRITE,
    create_engine,
    create_tables,
    fences,
    label_sets,
    schema_versions,
    segments,
)
from shoal_labels.unbroken import Unbroken

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def transaction(
    method: Callable[Concatenate["Manifest", Arguments], Coroutine[Any, Any, Result]],
) -> Callable[Concatenate["Manifest", Arguments], Coroutine[Any, Any, Result]]:
    """Makes a method unbreakable: a driver that is cancelled loses its connection."""

    @functools.wraps(method)
    async def call(
        self: "Manifest", /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        return await self.unbroken.run(method(self, *args, **kwargs))

    return call


class Manifest:
    """Label sets and segments in a database; one process writes at a time."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.unbroken = Unbroken()
        self._engine = engine
        self._write_engine = engine.execution_options(**{WRITE: True})

    @classmethod
    async def open(cls, url: str) -> Self:
        """Opens the database at a SQLAlchemy URL and creates its tables where there are none.

        Raises:
            FailedPrecondition: SCHEMA_TOO_NEW when a newer Shoal wrote it.
            DataLoss: MANIFEST_DAMAGED when it is no database.
        """
        manifest = cls(create_engine(url))
        try:
            async with manifest._writing() as connection:
                await _check_schema(connection, url)
        except BaseException:
            await manifest.close()
            raise
        return manifest

    async def close(self) -> None:
        """Releases the database."""
        await self.unbroken.settle()
        await self._engine.dispose()

    @transaction
    async def create_label_set(self, label_set: LabelSet) -> LabelSet:
        """Adds a label set, or returns the one with the same contents that is there.

        Raises:
            AlreadyExists: LABEL_SET_EXISTS when the contents differ.
        """
        async with self._writing() as connection:
            existing = await find_label_set(connection, label_set.key)
            if existing is None:
                await insert_label_set(connection, label_set)
                return label_set
        if existing != label_set:
            raise AlreadyExists(
                "LABEL_SET_EXISTS",
                f"{label_set.key.name} exists with another video, skeleton, tracks or provenance; "
                "choose another name or delete it.",
                label_set=label_set.key.name,
            )
        return existing

    @transaction
    async def import_label_sets(
        self, imported: Sequence[tuple[LabelSet, Sequence[Segment]]]
    ) -> None:
        """Adds those label sets, with their segments, that are not there."""
        async with self._writing() as connection:
            for label_set, its_segments in imported:
                if await find_label_set(connection, label_set.key) is None:
                    await insert_label_set(connection, label_set)
                    for segment in its_segments:
                        await insert_segment(connection, segment)

    @transaction
    async def replace_video(self, label_set: LabelSet) -> None:
        """Stores the video of a label set anew, for example after it was found elsewhere."""
        async with self._writing() as connection:
            await connection.execute(
                update(label_sets)
                .where(of_label_set(label_sets, label_set.key))
                .values(video_json=label_set.to_json()["video_json"])
            )

    @transaction
    async def label_set(self, key: LabelSetKey) -> LabelSet:
        """Returns one label set.

        Raises:
            NotFound: LABEL_SET_NOT_FOUND.
        """
        async with self._reading() as connection:
            label_set = await find_label_set(connection, key)
        if label_set is None:
            raise label_set_not_found(key)
        return label_set

    @transaction
    async def list_label_sets(self, project: str, after: str, limit: int) -> list[LabelSet]:
        """Returns at most `limit` label sets of a project by name, from the one after `after`."""
        query = (
            label_sets_query()
            .where(label_sets.c.project == project, label_sets.c.label_set > after)
            .order_by(label_sets.c.label_set)
            .limit(limit)
        )
        async with self._reading() as connection:
            return [label_set_of(row) for row in await connection.execute(query)]

    @transaction
    async def delete_label_set(self, key: LabelSetKey) -> list[str]:
        """Removes a label set; returns the paths of its segment files.

        Raises:
            NotFound: LABEL_SET_NOT_FOUND.
        """
        async with self._writing() as connection:
            await require_label_set(connection, key)
            paths = await connection.scalars(
                select(segments.c.path).where(of_label_set(segments, key))
            )
            for table in (segments, fences, label_sets):
                await connection.execute(delete(table).where(of_label_set(table, key)))
            return list(paths)

    @transaction
    async def claim(self, target: SegmentTarget) -> None:
        """Remembers that a writer with this token has begun; older ones are refused from now.

        Raises:
            NotFound: LABEL_SET_NOT_FOUND.
            Aborted: FENCING_TOKEN_STALE when a newer writer has begun.
        """
        async with self._writing() as connection:
            await require_label_set(connection, target.key)
            await _raise_fence(connection, target)

    @transaction
    async def put_segment(self, segment: Segment) -> str | None:
        """Makes a segment visible; returns the path of the file that it replaces.

        Raises:
            NotFound: LABEL_SET_NOT_FOUND.
            Aborted: FENCING_TOKEN_STALE when a newer writer has begun.
            InvalidArgument: POSES_INVALID when another segment answers for some of its frames.
        """
        async with self._writing() as connection:
            await require_label_set(connection, segment.key)
            target = SegmentTarget(
                segment.key, segment.index, segment.start, segment.stop, segment.fencing_token
            )
            await _raise_fence(connection, target)
            await _check_overlap(connection, segment)
            this = of_segment(segments, segment.key, segment.index)
            replaced = await connection.scalar(select(segments.c.path).where(this))
            await connection.execute(delete(segments).where(this))
            await insert_segment(connection, segment)
            return replaced

    @transaction
    async def list_segments(self, key: LabelSetKey, after: int, limit: int) -> list[Segment]:
        """Returns at most `limit` segments by index, from the one after `after`.

        Raises:
            NotFound: LABEL_SET_NOT_FOUND.
        """
        query = (
            select(segments)
            .where(of_label_set(segments, key), segments.c.segment_index > after)
            .order_by(segments.c.segment_index)
            .limit(limit)
        )
        async with self._reading() as connection:
            await require_label_set(connection, key)
            return [segment_of(row) for row in await connection.execute(query)]

    @transaction
    async def segments_in_frame_order(self, key: LabelSetKey) -> list[Segment]:
        """Returns the segments of a label set by their frames.

        Raises:
            NotFound: LABEL_SET_NOT_FOUND.
        """
        query = select(segments).where(of_label_set(segments, key)).order_by(segments.c.range_start)
        async with self._reading() as connection:
            await require_label_set(connection, key)
            return [segment_of(row) for row in await connection.execute(query)]

    @transaction
    async def segment_paths(self) -> set[str]:
        """Returns the paths of all visible segment files."""
        async with self._reading() as connection:
            return set(await connection.scalars(select(segments.c.path)))

    @contextlib.asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        with _typed_errors(self._engine):
            async with self._engine.begin() as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        with _typed_errors(self._engine):
            async with self._write_engine.begin() as connection:
                yield connection


@contextlib.contextmanager
def _typed_errors(engine: AsyncEngine) -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        database, complaint = engine.url.database or "", str(error.orig)
        if "disk is full" in complaint:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), database) from error
        if "not a database" in complaint or "malformed" in complaint:
            raise DataLoss(
                "MANIFEST_DAMAGED",
                f"{database} is not a readable database; restore it from a backup or move it away.",
                path=database,
            ) from error
        raise


async def _check_schema(connection: AsyncConnection, url: str) -> None:
    tables = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    if schema_versions.name not in tables:
        await connection.run_sync(create_tables)
        await connection.execute(insert(schema_versions).values(version=VERSION))
    version = await connection.scalar(select(func.max(schema_versions.c.version)))
    if version != VERSION:
        raise FailedPrecondition(
            "SCHEMA_TOO_NEW",
            f"The label store's database has schema {version}, this Shoal knows {VERSION}; "
            "update Shoal or choose another home.",
            url=url,
            version=version,
        )


async def _raise_fence(connection: AsyncConnection, target: SegmentTarget) -> None:
    this = of_segment(fences, target.key, target.index)
    seen = await connection.scalar(select(fences.c.fencing_token).where(this))
    if seen is None:
        await connection.execute(
            insert(fences).values(
                project=target.key.project,
                label_set=target.key.label_set,
                segment_index=target.index,
                fencing_token=target.fencing_token,
            )
        )
    elif target.fencing_token < seen:
        raise Aborted(
            "FENCING_TOKEN_STALE",
            f"Segment {target.index} of {target.key.name} was leased to another worker (token "
            f"{seen}, yours is {target.fencing_token}); drop this work.",
            label_set=target.key.name,
            segment_index=target.index,
            fencing_token=target.fencing_token,
            last_fencing_token=seen,
        )
    elif target.fencing_token > seen:
        await connection.execute(
            update(fences).where(this).values(fencing_token=target.fencing_token)
        )


async def _check_overlap(connection: AsyncConnection, segment: Segment) -> None:
    other = await connection.scalar(
        select(segments.c.segment_index)
        .where(
            of_label_set(segments, segment.key),
            segments.c.segment_index != segment.index,
            segments.c.range_start < segment.stop,
            segments.c.range_stop > segment.start,
        )
        .limit(1)
    )
    if other is not None:
        raise InvalidArgument(
            "POSES_INVALID",
            f"Segment {other} of {segment.key.name} already answers for some of the frames "
            f"{segment.start} to {segment.stop - 1}; give each frame to one segment.",
            label_set=segment.key.name,
            segment_index=other,
        )
