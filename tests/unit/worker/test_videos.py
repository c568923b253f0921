"""Which reader the worker's tasks get."""

from pathlib import Path

import numpy as np

from shoal.common.v1 import video_pb2
from shoal_common.roots import AllowedRoots
from shoal_common.watchdog import Watchdog
from shoal_media.readers import open_video
from shoal_worker.videos import Videos
from tests.unit.media.stacks import deep_FHW, windowed, write_pages


async def test_jobs_over_one_video_are_shown_the_levels_that_each_recorded(tmp_path: Path) -> None:
    path = write_pages(tmp_path, deep_FHW())
    with open_video(path) as reader:
        video = video_pb2.Video(uri=str(path), content_hash=reader.info.content_hash)
    videos = Videos(
        roots=AllowedRoots((str(tmp_path),)), thread_count=1, watchdog=Watchdog(limit_seconds=300)
    )
    for low, high in ((0, 65535), (100, 2000), (0, 65535)):
        video.window.low, video.window.high = low, high
        reader = await videos.open(video)
        shown_BHWC = np.zeros((1, *reader.frame_shape_HWC), np.uint8)
        assert await videos.read_into(reader, [3], shown_BHWC) == [3]
        np.testing.assert_array_equal(shown_BHWC[0, ..., 0], windowed(deep_FHW()[3], low, high))
    assert await videos.open(video) is await videos.open(video)
    await videos.aclose()
