"""`shoal down`: ends what `shoal up` started."""

import argparse
import os
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shoal_cli.commands import Commands

_PATIENCE_SECONDS = 30.0


def add_to(commands: "Commands") -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "down",
        help="end the ensemble that `shoal up` started",
        description="Ends the ensemble that `shoal up` started; running jobs can be resumed.",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Ends the ensemble; returns the exit status when nothing of it is left."""
    from shoal_cli.ensemble.home import current_home
    from shoal_cli.ensemble.launcher import require_unix
    from shoal_core.errors import DeadlineExceeded

    require_unix()
    from shoal_cli.ensemble.lock import current_holder, locked_error

    home = current_home()
    holder = current_holder(home.lock_file)
    if holder is None:
        print(f"no ensemble is running on {home.folder}")
        return 0
    if holder.mode != "machine":
        raise locked_error(home.lock_file, holder)
    os.kill(holder.pid, signal.SIGTERM)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while current_holder(home.lock_file) is not None:
        if time.monotonic() > deadline:
            raise DeadlineExceeded(
                "STOP_FAILED",
                f"Process {holder.pid} does not end; see {home.log_file('supervisor')}.",
            )
        time.sleep(0.05)
    return 0
