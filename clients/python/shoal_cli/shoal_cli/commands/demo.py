"""`shoal demo`: from nothing to tracked poses, on synthetic animals."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shoal_cli.commands import Commands

_TIME_BUDGET = "2m"


def add_to(commands: "Commands") -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "demo",
        help="try everything on synthetic animals, without any data",
        description="Renders a recording of interacting animals whose poses are known, trains a "
        "model, tracks another recording with it, compares the result with the truth and draws it.",
    )
    add = parser.add_argument
    add("-o", "--output", type=Path, default=Path("demo"), metavar="DIR", help="folder (demo)")
    add(
        "--time-budget",
        default=_TIME_BUDGET,
        metavar="TIME",
        help=f"time for training ({_TIME_BUDGET})",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the steps; returns the exit status of the first that fails, else 0."""
    from shoal_cli.installed import require

    require("shoal_media", "sleap_io", "shoal_training", "matplotlib", extra="train")
    from shoal_cli.demo.picture import draw_picture
    from shoal_cli.demo.steps import DemoFiles, carry_out, command_lines, record
    from shoal_cli.main import main
    from shoal_cli.progress import standard_progress
    from shoal_core.errors import NotFound

    folder: Path = arguments.output.absolute()
    if not folder.parent.is_dir():
        raise NotFound("FOLDER_NOT_FOUND", f"There is no folder {folder.parent}; make it first.")
    folder.mkdir(exist_ok=True)
    files = DemoFiles(folder)
    with standard_progress() as progress:
        record(files, progress)
    status = carry_out(command_lines(files, arguments.time_budget), main)
    if status != 0:
        return status
    draw_picture(files)
    print(f"\n{files.picture}", files.rendering, sep="\n")
    return 0
