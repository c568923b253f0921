"""Logs are bounded, and one that cannot be written stops nobody."""

import subprocess
import sys
from pathlib import Path

import pytest

from shoal_cli.ensemble.logs import LARGEST_LOG_BYTES, last_line, open_log, trim


def test_a_log_that_is_open_is_trimmed_and_goes_on_at_its_new_start(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    with open_log(path) as log:
        log.write(b"x" * (LARGEST_LOG_BYTES - 1))
        log.flush()
        assert not trim(path)
        log.write(b"y\n")
        log.flush()
        assert trim(path)
        log.write(b"after\n")
        log.flush()
        assert path.read_bytes() == b"after\n"
    assert path.with_suffix(".log.1").stat().st_size == LARGEST_LOG_BYTES + 1


def test_a_log_whose_copy_cannot_be_kept_is_emptied_nevertheless(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    path.write_bytes(b"x" * LARGEST_LOG_BYTES)
    path.with_suffix(".log.1").mkdir()
    assert trim(path)
    assert path.stat().st_size == 0


def test_a_log_that_cannot_be_written_goes_nowhere(tmp_path: Path) -> None:
    (tmp_path / "worker.log").mkdir()
    with open_log(tmp_path / "worker.log") as log:
        log.write(b"lost\n")
    assert last_line(tmp_path / "worker.log") == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_supervisor_whose_log_is_on_a_full_disk_goes_on() -> None:
    program = "from shoal_cli.ensemble.supervisor import _log; _log('lost'); print('on')"
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=full, check=True
        )
    assert ended.stdout == b"on\n"
