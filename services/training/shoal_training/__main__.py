"""`python -m shoal_training CONFIG.json -o RUN_FOLDER [--set KEY=VALUE]... [--resume]`."""

import argparse
import dataclasses
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from shoal_core.errors import ShoalError

USAGE_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains what the arguments say and returns the exit status.

    What is wrong is one line on the standard error, with status 2.
    """
    parsed = _parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("shoal_training").setLevel(logging.INFO)
    try:
        _train(parsed)
    except ShoalError as error:
        sys.stderr.write(f"shoal_training: {' '.join(error.message.split())}\n")
        return USAGE_ERROR
    return 0


def _train(parsed: argparse.Namespace) -> None:
    from shoal_training.config_file import apply_settings, read_config
    from shoal_training.run import run

    config = apply_settings(read_config(parsed.config), parsed.settings)
    folder = parsed.config.absolute().parent
    data = dataclasses.replace(
        config.data,
        labels=_absolute(folder, config.data.labels),
        validation_labels=_absolute(folder, config.data.validation_labels),
        test_labels=_absolute(folder, config.data.test_labels),
    )
    run(dataclasses.replace(config, data=data), parsed.output.absolute(), resume=parsed.resume)


def _absolute(folder: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    """Returns paths that mean the same when the configuration stands in the run's folder."""
    return tuple(str(folder / name) for name in names)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m shoal_training", description="Trains one network; see README.md."
    )
    parser.add_argument("config", type=Path, help="the configuration, a JSON file")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="the run's folder", metavar="RUN_FOLDER"
    )
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a value in place of the configuration's, for example optimization.epochs=3",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run that the folder holds, if any"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
