"""A process that commits segments and kills itself, for test_store.py.

    python crashing_writer.py FOLDER POINT

Reports each commit on standard output; POINT says where it dies.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

import numpy as np

from shoal_labels.columns import PoseColumns
from shoal_labels.label_sets import LabelSetKey, SegmentTarget
from shoal_labels.manifest import Manifest
from shoal_labels.segments import SegmentWriter
from shoal_labels.store import LabelStore

KEY = LabelSetKey("lab", "flies")
FRAME_COUNT = 50


def poses(segment_index: int, value: float) -> PoseColumns:
    counts = np.ones(FRAME_COUNT, np.int32)
    return PoseColumns(
        segment_index * FRAME_COUNT + np.arange(FRAME_COUNT, dtype=np.int64),
        counts,
        np.full((FRAME_COUNT, 3, 2), value, np.float32),
        np.ones((FRAME_COUNT, 3), np.float32),
        *(np.zeros(FRAME_COUNT, dtype) for dtype in (np.float32, np.int32, np.float32, np.uint8)),
    )


def target(segment_index: int, token: int) -> SegmentTarget:
    start = segment_index * FRAME_COUNT
    return SegmentTarget(KEY, segment_index, start, start + FRAME_COUNT, token)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def main(folder: Path, point: str) -> None:
    manifest = await Manifest.open(f"sqlite+aiosqlite:///{folder}/labels.db")
    store = LabelStore(manifest=manifest, folder=folder)
    if point == "any":
        for index in range(10_000):
            async with store.draft(target(index, 1)) as draft:
                await draft.append(poses(index, index))
                await draft.commit()
            print(index, flush=True)  # noqa: T201 -- what the parent waits for
    writer = SegmentWriter(folder / "segments" / "new.h5", 3)
    writer.append(poses(0, 2.0))
    if point == "inside the file":
        die()
    file = writer.finish()
    if point == "between file and manifest":
        die()
    segment = store.segment_of(target(0, 2), file)
    await manifest.put_segment(segment)
    if point == "between manifest and removal of the old file":
        die()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
