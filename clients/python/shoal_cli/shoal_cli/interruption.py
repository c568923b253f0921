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
    """Makes SIGTERM end the command as orderly as Ctrl-C."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted("terminated", number)
