"""The folder of the ledger, which one orchestrator at a time may use."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shoal_core.errors import FailedPrecondition


@contextmanager
def owned_ledger_path(home: Path) -> Iterator[Path]:
    """Yields the path of the ledger in `home`; the kernel ends the ownership with the process.

    Leases are partly in memory, so two orchestrators would give one task to two workers.

    Raises:
        FailedPrecondition: LEDGER_IN_USE when another orchestrator uses it.
    """
    folder = home / "jobs"
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "ledger.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FailedPrecondition(
                "LEDGER_IN_USE",
                f"Another orchestrator uses {folder}; end it or choose another `home`.",
                path=folder,
            ) from error
        yield folder / "ledger.db"
    finally:
        os.close(lock)
