"""Signals as bytes in a pipe, so that one `select` waits for everything."""

import os
import signal
from types import FrameType, TracebackType
from typing import Self

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Wakeup:
    """Becomes readable when a child ends or the process is told to stop."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self.stop_requested = False

    def __enter__(self) -> Self:
        for number in _STOP_SIGNALS:
            signal.signal(number, self._request_stop)
        signal.signal(signal.SIGCHLD, _ignore)  # a handler is needed for the byte to be written
        signal.set_wakeup_fd(self._writer)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        signal.set_wakeup_fd(-1)
        os.close(self._reader)
        os.close(self._writer)

    def fileno(self) -> int:
        """What `select` looks at."""
        return self._reader

    def drain(self) -> None:
        """Forgets the signals that have arrived."""
        try:
            while os.read(self._reader, 4096):
                pass
        except BlockingIOError:
            return

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        self.stop_requested = True


def _ignore(number: int, frame: FrameType | None) -> None:
    """Lets `select` wake up; what has happened is found by asking the children."""
