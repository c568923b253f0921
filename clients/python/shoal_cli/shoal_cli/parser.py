"""The command line: what there is to type. Nothing heavy is imported to read it."""

import argparse
import importlib.metadata
from collections.abc import Sequence
from typing import Any, NoReturn

from shoal_cli.commands import (
    demo,
    doctor,
    down,
    evaluate,
    jobs,
    models,
    render,
    status,
    track,
    train,
    up,
)


def with_dashes(word: str) -> str:
    """Returns an option as it is declared here, where SLEAP's has underscores: --max_tracks."""
    option, equals, value = word.partition("=")
    return option.replace("_", "-") + equals + value if word.startswith("--") else word


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong with a command line in one line."""

    def error(self, message: str) -> NoReturn:
        """Ends the program with status 2."""
        self.exit(2, f"shoal: {message}; see `{self.prog} --help`\n")


class _Version(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Looks the version up only when it is asked for."""
        parser.exit(0, f"shoal {importlib.metadata.version('shoal-cli')}\n")


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands; `run` of its result carries the command out."""
    parser: argparse.ArgumentParser = OneLineParser(
        prog="shoal", description="Tracks the poses and identities of animals in video."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    track.add_to(commands)
    train.add_to(commands)
    jobs.add_to(commands)
    models.add_to(commands)
    evaluate.add_to(commands)
    render.add_to(commands)
    up.add_to(commands)
    down.add_to(commands)
    status.add_to(commands)
    doctor.add_to(commands)
    demo.add_to(commands)
    return parser
