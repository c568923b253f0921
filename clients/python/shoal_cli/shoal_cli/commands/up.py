"""`shoal up`: an ensemble that stays."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from shoal_cli.argument_types import positive_int

if TYPE_CHECKING:
    from shoal_cli.commands import Commands


def add_to(commands: "Commands") -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "up",
        help="start an ensemble that stays",
        description="Starts every service on this machine and leaves them running; `shoal track` "
        "uses them, `shoal down` ends them.",
    )
    parser.add_argument(
        "--first-port",
        type=positive_int,
        default=7101,
        metavar="PORT",
        help="decode, serving, tracking, labels, orchestrator, worker, from here on (7101)",
    )
    parser.add_argument("--engine-port", type=positive_int, default=8001, metavar="PORT")
    parser.add_argument(
        "--root",
        dest="roots",
        type=Path,
        action="append",
        metavar="DIR",
        help="folder whose files callers may name; may be repeated (your home folder)",
    )
    parser.add_argument(
        "--engine",
        choices=("embedded", "triton"),
        default="embedded",
        help="what runs the models: Shoal's own engine, or NVIDIA's Triton (embedded)",
    )
    parser.add_argument(
        "--triton-environment",
        type=Path,
        default=Path(".venv-triton"),
        metavar="DIR",
        help="virtual environment that Triton is installed in (.venv-triton)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Starts the ensemble; returns the exit status when it serves."""
    from shoal_cli.ensemble.home import current_home
    from shoal_cli.ensemble.launched import LaunchedEnsemble
    from shoal_cli.ensemble.launcher import machine_specification
    from shoal_cli.progress import standard_progress

    home = current_home()
    roots = [root.resolve() for root in arguments.roots or [Path.home()]]
    is_triton = arguments.engine == "triton"
    specification = machine_specification(
        home,
        arguments.command_line,
        arguments.first_port,
        arguments.engine_port,
        roots,
        triton=arguments.triton_environment.absolute() if is_triton else None,
    )
    home.create()
    ensemble = LaunchedEnsemble(specification)
    try:
        with standard_progress() as progress:
            progress.step("starting")
            ensemble.wait_until_serving()
    except BaseException:
        ensemble.stop()
        raise
    ensemble.leave()
    for name, target in sorted(ensemble.targets.items()):
        print(f"{name:13} {target}")
    print(f"logs: {home.logs} · files may lie in: {', '.join(map(str, roots))} · end: shoal down")
    return 0
