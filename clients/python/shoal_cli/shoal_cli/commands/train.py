"""`shoal train`: labels in, a model out."""

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from shoal_cli.argument_types import duration_s

if TYPE_CHECKING:
    from shoal_cli.commands import Commands
    from shoal_cli.training.plan import TrainPlan, TrainRequest
    from shoal_cli.training.sweep import Sweep

KINDS = {
    "topdown": "a centroid and a centered-instance model, for several animals",
    "centroid": "its first stage alone",
    "centered-instance": "its second stage alone",
    "bottomup": "all nodes at once, then grouped into animals",
    "single": "one animal in a frame",
    "topdown-id": "topdown, where each animal is known by its looks",
    "bottomup-id": "bottomup, where each animal is known by its looks",
}
_EPILOG = """\
Ctrl-C lets training finish now with the best weights so far; a second one cancels it, and the same
command goes on from the last checkpoint. With `shoal up`, training goes on when the terminal is
closed. `shoal track VIDEO -m DIR` uses the model.
"""


def add_to(commands: "Commands") -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "train",
        help="train a model from labels",
        description="Trains a model from labels: a .slp or .pkg.slp, a DeepLabCut project or CSV, "
        "or a COCO file.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("labels", nargs="+", metavar="LABELS", help="what is learned from")
    add("-o", "--output", type=Path, metavar="DIR", help="folder to write; needed but for --plan")
    add(
        "--kind",
        choices=tuple(KINDS),
        help="; ".join(f"{kind}: {meaning}" for kind, meaning in KINDS.items())
        + " (single or topdown, as the labels have it)",
    )
    _add_settings(parser)
    _add_sweeps(parser)
    parser.set_defaults(run=run)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("settings").add_argument
    add(
        "--recipe",
        default="fast",
        metavar="NAME|FILE",
        help="fast, sleap, or a file: a configuration, a profile of SLEAP (.json) or sleap-nn "
        "(.yaml) (fast)",
    )
    add(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="KEY=VALUE",
        help="a value of the configuration, for example optimization.batch_size=8; any number of "
        "times; centroid:KEY=VALUE for one stage only",
    )
    add(
        "--time-budget",
        type=duration_s,
        metavar="TIME",
        help="time for training, all stages together, for example 90s or 10m",
    )
    add("--validation", action="append", default=[], metavar="LABELS", help="validate on these")
    add("--test", action="append", default=[], metavar="LABELS", help="score the model on these")
    add("--plan", action="store_true", help="print what would run, and end")
    add(
        "--viewer",
        action="append",
        default=[],
        metavar="ENDPOINT",
        help="where SLEAP's loss viewer listens, for example tcp://127.0.0.1:9001",
    )


def _add_sweeps(parser: argparse.ArgumentParser) -> None:
    from shoal_cli.training.studies import DEFAULT_METRIC, STUDIES

    add = parser.add_argument_group("sweeps: many models, and the best of them").add_argument
    add(
        "--sweep",
        action="append",
        default=[],
        metavar="KEY=V1,V2,…",
        help="train with each of these values; several: with all combinations",
    )
    add("--study", choices=tuple(STUDIES), help="a ready sweep")
    add(
        "--metric",
        default=DEFAULT_METRIC,
        help=f"figure of the evaluation that decides which model is the best ({DEFAULT_METRIC})",
    )
    add("--minimise", action="store_true", help="less of it is better")


def run(arguments: argparse.Namespace) -> int:
    """Trains; returns the exit status."""
    from shoal_cli import messages
    from shoal_cli.training.output import check_output
    from shoal_cli.training.plan import plan_training
    from shoal_cli.training.plan_text import plan_lines

    sweep = _sweep(arguments)
    output = None if arguments.plan else check_output(_output(arguments))
    request = _request(arguments, sweep)
    plan = plan_training(request)
    if sweep is not None and request.kind is None and plan.kind == "topdown":
        # What is compared is how well nodes are found, with the true centroids.
        plan = plan_training(replace(request, kind="centered-instance"))
    for warning in plan.warnings:
        messages.warning(warning)
    if output is None:
        print(*plan_lines(plan), sep="\n")
        return 0
    return _train(arguments, plan, output) if sweep is None else _run_sweep(arguments, plan, sweep)


def _train(arguments: argparse.Namespace, plan: "TrainPlan", output: Path) -> int:
    from shoal_cli.ensemble.home import current_home
    from shoal_cli.ensemble.services import JOB_SERVICES
    from shoal_cli.progress import duration_text, standard_progress
    from shoal_cli.session import session
    from shoal_cli.training.run import TrainRun
    from shoal_cli.training.screen import standard_screen
    from shoal_cli.training.story import metrics_text

    started_s = time.monotonic()
    command = arguments.command_line
    with session(current_home(), JOB_SERVICES, command, standard_progress()) as connected:
        run = TrainRun(plan.spec(tuple(arguments.viewer)), output, connected, standard_screen())
        run.run()
    for stage in run.story.stages.values():
        print(f"{stage.id}: {len(stage.epochs)} epochs, {metrics_text(stage.metrics)}")
    print(f"{plan.kind} in {duration_text(time.monotonic() - started_s)}")
    print(output)
    return 0


def _run_sweep(arguments: argparse.Namespace, plan: "TrainPlan", sweep: "Sweep") -> int:
    from shoal_cli.ensemble.home import current_home
    from shoal_cli.ensemble.services import JOB_SERVICES
    from shoal_cli.progress import standard_progress
    from shoal_cli.session import session
    from shoal_cli.training.sweep import feasible
    from shoal_cli.training.sweep_run import SweepRun
    from shoal_cli.training.sweep_text import sweep_table

    sweep = feasible(sweep, plan.labelled_frame_count)
    output = _output(arguments).absolute()
    command = arguments.command_line
    with session(current_home(), JOB_SERVICES, command, standard_progress()) as connected:
        done = SweepRun(plan, sweep, output, connected).run()
    print(sweep_table(done))
    print(output)
    return 0


def _output(arguments: argparse.Namespace) -> Path:
    from shoal_core.errors import InvalidArgument

    if arguments.output is None:
        raise InvalidArgument(
            "OUTPUT_MISSING", "No folder is given for the model; add -o DIR, or --plan."
        )
    output: Path = arguments.output
    return output


def _request(arguments: argparse.Namespace, sweep: "Sweep | None") -> "TrainRequest":
    from shoal_cli.ensemble.home import current_home
    from shoal_cli.training.plan import TrainRequest, checked_labels

    recipe: str = arguments.recipe
    if Path(recipe).exists():
        recipe = str(Path(recipe).absolute())
    return TrainRequest(
        labels=checked_labels(arguments.labels),
        validation_labels=checked_labels(arguments.validation),
        test_labels=checked_labels(arguments.test),
        kind=arguments.kind,
        recipe=recipe,
        settings=(*(() if sweep is None else sweep.settings), *arguments.settings),
        time_budget_s=arguments.time_budget,
        import_folder=str(current_home().folder / "imported"),
        describe=arguments.plan,
    )


def _sweep(arguments: argparse.Namespace) -> "Sweep | None":
    if not arguments.sweep and arguments.study is None:
        return None
    from shoal_cli.installed import require
    from shoal_cli.training.sweep import chosen_sweep

    require("matplotlib", extra="train")
    return chosen_sweep(
        arguments.sweep, arguments.study, metric=arguments.metric, minimise=arguments.minimise
    )
