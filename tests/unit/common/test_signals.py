"""The first SIGTERM drains a process; the second one ends it."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.processes import wait_until_alive

ROOT = Path(__file__).resolve().parents[3]


def start(target: str, *settings: str) -> "subprocess.Popen[bytes]":
    words = [word for setting in (f"listen={target}", *settings) for word in ("--set", setting)]
    process = subprocess.Popen([sys.executable, "-m", "tests.fakes.fake_service", *words], cwd=ROOT)
    wait_until_alive(process, target)
    return process


def test_one_sigterm_ends_a_process_well(tmp_path: Path) -> None:
    process = start(f"unix:{tmp_path}/s")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0


def test_a_second_sigterm_ends_a_process_that_does_not_come_to_an_end(tmp_path: Path) -> None:
    note = tmp_path / "stopping"
    process = start(f"unix:{tmp_path}/s", "ignores_lifeline=true", f"stopping={note}")
    process.send_signal(signal.SIGTERM)
    while not note.exists():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == -signal.SIGTERM


def test_a_process_that_hangs_beyond_its_grace_is_ended() -> None:
    code = (
        "import threading; from shoal_common.server import end_after; "
        "end_after(0.1, 'it was told to stop'); threading.Event().wait()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], timeout=30, capture_output=True, text=True, check=False
    )
    assert ended.returncode not in (0, None)
    assert "it was told to stop, and this process does not end by itself" in ended.stderr
