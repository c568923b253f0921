"""A process that fills its disk with segments and then exports, for test_full_disk.py.

python filling_writer.py FOLDER
"""

import asyncio
import os
import sys
from pathlib import Path

import numpy as np

from shoal_common.status import from_os_error
from shoal_core.errors import ShoalError
from shoal_core.skeleton import Skeleton
from shoal_labels.columns import PoseColumns
from shoal_labels.exchange import Exchange
from shoal_labels.label_sets import LabelSet, LabelSetKey, SegmentTarget, Video
from shoal_labels.manifest import Manifest
from shoal_labels.store import LabelStore

KEY = LabelSetKey("lab", "flies")
FRAME_COUNT, NODE_COUNT = 500, 13


def poses(start: int) -> PoseColumns:
    return PoseColumns(
        start + np.arange(FRAME_COUNT, dtype=np.int64),
        np.ones(FRAME_COUNT, np.int32),
        np.ones((FRAME_COUNT, NODE_COUNT, 2), np.float32),
        np.ones((FRAME_COUNT, NODE_COUNT), np.float32),
        *(np.zeros(FRAME_COUNT, dtype) for dtype in (np.float32, np.int32, np.float32, np.uint8)),
    )


async def commit(store: LabelStore, index: int) -> None:
    start = index * FRAME_COUNT
    target = SegmentTarget(KEY, index, start, start + FRAME_COUNT, 1)
    async with store.draft(target) as draft:
        await draft.append(poses(start))
        await draft.commit()


async def main(folder: Path) -> None:
    store_folder = folder / "labels"
    store_folder.mkdir()
    manifest = await Manifest.open(f"sqlite+aiosqlite:///{store_folder}/labels.db")
    store = LabelStore(manifest=manifest, folder=store_folder)
    await store.sweep()
    skeleton = Skeleton("fly", tuple(f"n{index}" for index in range(NODE_COUNT)))
    await store.create(LabelSet(KEY, Video("/v.mp4", 10**6), skeleton))
    for index in range(10_000):
        try:
            await commit(store, index)
        except OSError as error:
            typed = from_os_error(error)
            assert typed is not None
            say("commit", typed.reason)
            break
    say("visible", index, "readable", sum([c.frame_count async for c in store.read(KEY)]))
    say("files", len(list((store_folder / "segments" / "lab").rglob("*.*"))))
    exchange = Exchange(store=store, video_folders=())
    try:
        await exchange.export_labels([KEY], folder / "out.slp")
    except ShoalError as error:
        say("export", error.reason)
    say("left", sum("out.slp" in name for name in os.listdir(folder)))
    await store.close()


def say(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201 -- what the parent reads


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
