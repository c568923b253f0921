"""Ctrl-C and the signals that mean the same."""

import signal
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """The command was told to stop; carries what to say and which signal it was."""

    def __init__(self, message: str, signal_number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.message = message
        self.signal_number = signal_number


def interrupt_on_termination() -> None:
    """Makes Ctrl-C, SIGTERM and a terminal that is closed end the command in good order."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)
    # Windows has no SIGHUP; under `nohup` it is ignored, and is to stay so.
    hang_up = getattr(signal, "SIGHUP", None)
    if hang_up is not None and signal.getsignal(hang_up) is not signal.SIG_IGN:
        signal.signal(hang_up, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted("terminated", number)
