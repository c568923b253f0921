"""A command that is told to stop says so in one line, and a terminal that goes is no error."""

import io
import signal
import subprocess
import sys
import textwrap

import pytest

from shoal_cli.progress import Progress

WAITING = """
    import signal, sys, time
    from shoal_cli.interruption import Interrupted, interrupt_on_termination
    interrupt_on_termination()
    try:
        print("ready", flush=True)
        while True:
            time.sleep(60)
    except Interrupted as error:
        sys.exit(100 + error.signal_number)
    except KeyboardInterrupt:
        sys.exit(100)
"""


def waiting(*prefix: str) -> subprocess.Popen[str]:
    """A process that waits to be interrupted, ready for that."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", textwrap.dedent(WAITING)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_termination_and_a_closed_terminal_interrupt(number: signal.Signals) -> None:
    process = waiting()
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == 100 + number


def test_a_closed_terminal_is_ignored_where_it_is_meant_to_be() -> None:
    process = waiting("nohup")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 100 + signal.SIGTERM


def test_an_interrupt_while_modules_are_loaded_ends_the_process_without_a_word() -> None:
    program = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'shoal_cli.main': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from shoal_cli.entry import run\n"
        "sys.exit(run())\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert ended.returncode == -signal.SIGINT
    assert ended.stderr == b""


class GoneTerminal(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


def test_progress_in_a_terminal_that_has_gone_is_not_shown() -> None:
    progress = Progress(GoneTerminal(), moves=True, clock=lambda: 0.0)
    progress.step("tracking")
    progress.update(1, 2)
    progress.close()
