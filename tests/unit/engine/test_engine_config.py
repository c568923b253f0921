import os
from pathlib import Path

import pytest

from shoal_core.errors import InvalidArgument
from shoal_engine.config import EngineConfig
from shoal_engine.graph import Threads


def config(**changes: int) -> EngineConfig:
    return EngineConfig("127.0.0.1:1", model_repository=Path("/models"), **changes)


def test_threads_and_streams_follow_the_cores_unless_told_otherwise() -> None:
    cores = len(os.sched_getaffinity(0))
    assert config().threads == Threads(stream_count=cores, wide_count=cores)
    told = config(intra_op_thread_count=7, max_concurrent_requests=9)
    assert told.threads == Threads(stream_count=9, wide_count=7)


@pytest.mark.parametrize(
    "key",
    [
        "intra_op_thread_count",
        "max_concurrent_requests",
        "max_queued_requests",
        "max_queued_live_requests",
    ],
)
def test_a_negative_number_is_named(key: str) -> None:
    with pytest.raises(InvalidArgument, match=key):
        config(**{key: -1})
