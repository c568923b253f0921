"""The child process ends with its task, with its parent's interest, and with its parent."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pytest

from shoal_core.errors import DataLoss
from shoal_labels import slp_child
from shoal_labels.label_sets import LabelSet, Segment


def request(folder: Path, label_set: LabelSet) -> dict[str, Any]:
    segment = Segment(label_set.key, 0, 0, 10, 1, "segment.h5", "00", 10, 10)
    return {
        "folder": str(folder),
        "partial": str(folder / ".out.partial"),
        "output": str(folder / "out.slp"),
        "provenance": {},
        "sources": [
            {
                "label_set": slp_child.label_set_to_json(label_set),
                "segments": [asdict(segment)],
            }
        ],
    }


@pytest.fixture
def endless(tmp_path: Path, label_set: LabelSet) -> dict[str, Any]:
    """A request that never ends: its segment is a pipe that nobody writes to."""
    os.mkfifo(tmp_path / "segment.h5")
    (tmp_path / ".out.partial").touch()
    return request(tmp_path, label_set)


def test_a_child_ends_with_its_parent_and_removes_its_partial_file(
    endless: dict[str, Any],
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "shoal_labels.slp_child", "export"], stdin=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        child.stdin.write(json.dumps(endless).encode() + b"\n")
        child.stdin.close()
        assert child.wait(timeout=60) == 1
    assert not Path(endless["partial"]).exists()


def children() -> list[psutil.Process]:
    return psutil.Process().children()


async def test_cancelling_ends_the_child(endless: dict[str, Any]) -> None:
    others = children()
    running = asyncio.create_task(slp_child.run("export", endless))
    await asyncio.wait([running], timeout=0.2)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert children() == others


async def test_errors_cross_the_pipe_with_their_type_and_reason(
    tmp_path: Path, label_set: LabelSet
) -> None:
    with pytest.raises(DataLoss) as caught:
        await slp_child.run("export", request(tmp_path, label_set))
    assert caught.value.reason == "SEGMENT_DAMAGED"
    assert caught.value.metadata == {"path": str(tmp_path / "segment.h5")}


async def test_a_child_without_an_answer_is_reported() -> None:
    with pytest.raises(slp_child.ChildDied) as caught:
        await slp_child.run("export", {})
    assert caught.value.returncode == 1
