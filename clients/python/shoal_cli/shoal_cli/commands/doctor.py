"""`shoal doctor`: what is wrong with this machine, and what to do."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shoal_cli.commands import Commands


def add_to(commands: "Commands") -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "doctor",
        help="find out what is wrong with this machine",
        description="Looks at versions, engines, disk, shared memory, ports and GPU and says what "
        "to do. The exit status is 1 if something is broken.",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints a line per check; returns 1 if one of them is broken."""
    from shoal_cli.checks import checks
    from shoal_cli.ensemble.home import current_home

    broken = False
    for check in checks(current_home()):
        print(f"{check.state:8} {check.subject:14} {check.found}")
        if check.cure:
            print(f"{'':8} {'':14} → {check.cure}")
        broken |= check.state == "broken"
    return 1 if broken else 0
