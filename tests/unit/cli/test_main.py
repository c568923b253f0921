"""Exit status and error lines."""

import argparse
import signal
from pathlib import Path

import pytest

from shoal_cli.interruption import Interrupted
from shoal_cli.main import carry_out
from shoal_core.errors import Internal, InvalidArgument


def run(raised: BaseException) -> int:
    """Runs a command that raises."""

    def raise_it(arguments: argparse.Namespace) -> int:
        raise raised

    return carry_out(argparse.Namespace(run=raise_it))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHOAL_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("raised", "status", "line"),
    [
        (InvalidArgument("BAD", "A thing\nis bad."), 1, "shoal: A thing is bad.\n"),
        (KeyboardInterrupt(), 130, "shoal: interrupted\n"),
        (Interrupted("stopped"), 130, "shoal: stopped\n"),
        (Interrupted("stopped", signal.SIGTERM), 143, "shoal: stopped\n"),
    ],
)
def test_what_goes_wrong_is_one_line_and_a_status(
    raised: BaseException,
    status: int,
    line: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(raised) == status
    assert capsys.readouterr().err == line


def test_a_bug_is_one_line_and_its_traceback_is_in_the_log(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    assert run(ZeroDivisionError("by zero")) == 1
    said = capsys.readouterr().err
    assert said.startswith("shoal: a bug in Shoal: ZeroDivisionError: by zero; ")
    assert said.count("\n") == 1
    assert "Traceback" in (home / "logs" / "shoal.log").read_text()


def test_a_bug_of_a_service_points_to_the_logs(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    assert run(Internal("INTERNAL", "Shoal failed.")) == 1
    assert str(home / "logs") in capsys.readouterr().err
