"""Rows of the manifest ↔ label sets and segments, and the queries that several methods share."""

from typing import Any

from sqlalchemy import BigInteger, Select, and_, cast, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shoal_core.errors import NotFound
from shoal_labels.label_sets import LabelSet, LabelSetKey, Segment
from shoal_labels.schema import label_sets, segments


def of_label_set(table: Any, key: LabelSetKey) -> Any:
    """Returns the condition that a row belongs to a label set."""
    return and_(table.c.project == key.project, table.c.label_set == key.label_set)


def of_segment(table: Any, key: LabelSetKey, index: int) -> Any:
    """Returns the condition that a row belongs to a segment."""
    return and_(of_label_set(table, key), table.c.segment_index == index)


def label_sets_query() -> Select[Any]:
    """Returns the query of all label sets with their counts."""

    def total(column: Any) -> Any:
        same = and_(
            segments.c.project == label_sets.c.project,
            segments.c.label_set == label_sets.c.label_set,
        )
        # PostgreSQL adds up to a decimal.
        query = select(cast(func.coalesce(func.sum(column), 0), BigInteger)).where(same)
        return query.scalar_subquery().label(column.name)

    counts = [total(column) for column in (segments.c.frame_count, segments.c.instance_count)]
    return select(label_sets, *counts)


async def find_label_set(connection: AsyncConnection, key: LabelSetKey) -> LabelSet | None:
    """Returns a label set, or None."""
    query = label_sets_query().where(of_label_set(label_sets, key))
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else label_set_of(row)


async def require_label_set(connection: AsyncConnection, key: LabelSetKey) -> None:
    """Checks that a label set exists, and keeps it while a writing transaction runs.

    Raises:
        NotFound: LABEL_SET_NOT_FOUND.
    """
    query = select(label_sets.c.label_set).where(of_label_set(label_sets, key))
    if await connection.scalar(query.with_for_update()) is None:
        raise label_set_not_found(key)


def label_set_not_found(key: LabelSetKey) -> NotFound:
    """Returns the error of a label set that is not there."""
    return NotFound(
        "LABEL_SET_NOT_FOUND",
        f"There is no label set {key.name}; list the project's label sets.",
        label_set=key.name,
    )


async def insert_label_set(connection: AsyncConnection, label_set: LabelSet) -> None:
    """Adds a label set that is not there."""
    await connection.execute(
        insert(label_sets).values(
            project=label_set.key.project,
            label_set=label_set.key.label_set,
            create_time_us=label_set.create_time_us,
            **label_set.to_json(),
        )
    )


async def insert_segment(connection: AsyncConnection, segment: Segment) -> None:
    """Adds a segment that is not there."""
    await connection.execute(
        insert(segments).values(
            project=segment.key.project,
            label_set=segment.key.label_set,
            segment_index=segment.index,
            range_start=segment.start,
            range_stop=segment.stop,
            fencing_token=segment.fencing_token,
            path=segment.path,
            checksum=segment.checksum,
            frame_count=segment.frame_count,
            instance_count=segment.instance_count,
        )
    )


def segment_of(row: Any) -> Segment:
    """Returns the segment of a row."""
    return Segment(
        key=LabelSetKey(row.project, row.label_set),
        index=row.segment_index,
        start=row.range_start,
        stop=row.range_stop,
        fencing_token=row.fencing_token,
        path=row.path,
        checksum=row.checksum,
        frame_count=row.frame_count,
        instance_count=row.instance_count,
    )


def label_set_of(row: Any) -> LabelSet:
    """Returns the label set of a row."""
    return LabelSet.from_json(
        LabelSetKey(row.project, row.label_set),
        row._mapping,
        create_time_us=row.create_time_us,
        frame_count=row.frame_count,
        instance_count=row.instance_count,
    )
