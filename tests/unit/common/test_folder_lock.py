"""A folder of durable state has one process."""

import subprocess
import sys
from pathlib import Path

import pytest

from shoal_common.folder_lock import FolderLock
from shoal_core.errors import FailedPrecondition

HOLD = """
import sys
from pathlib import Path
from shoal_common.folder_lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_holder_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    with FolderLock(tmp_path / "state"):
        with pytest.raises(FailedPrecondition) as caught:
            FolderLock(tmp_path / "state")
        assert caught.value.reason == "FOLDER_IN_USE"
        assert str(tmp_path / "state") in caught.value.message
    FolderLock(tmp_path / "state").release()


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(FailedPrecondition):
            FolderLock(tmp_path)
        holder.kill()
        holder.wait()
    FolderLock(tmp_path).release()
