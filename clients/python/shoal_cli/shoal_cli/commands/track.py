"""`shoal track`: videos and a model in, tracked poses out."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from shoal_cli.argument_types import between, count, positive_int

if TYPE_CHECKING:
    from shoal_cli.commands import Commands
    from shoal_cli.track_run import Tracked

_EPILOG = """\
Interrupt it as you like: the same command goes on where it stopped. With no ensemble running
(`shoal up`), one is started for this command and ended with it. Options may be written with
underscores, as SLEAP does.
"""


def add_to(commands: "Commands") -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "track",
        help="track the animals of videos",
        description="Tracks the animals of videos with a trained model.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("videos", nargs="+", metavar="VIDEO", help="video file or folder of images")
    add(
        "-m",
        "--model",
        dest="models",
        action="append",
        metavar="MODEL",
        help="registered NAME or NAME@ALIAS, or a model folder; twice for two stages",
    )
    add(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="OUT.slp, OUT.h5 (SLEAP's analysis format), or OUT/ for a .slp each",
    )
    _add_frames(parser)
    _add_poses(parser)
    _add_grouping(parser)
    _add_classes(parser)
    _add_filters(parser)
    _add_tracking(parser)
    _add_settings(parser)
    parser.set_defaults(run=run)


def _add_frames(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("frames")
    add = group.add_argument
    choice = group.add_mutually_exclusive_group()
    choice.add_argument(
        "--frames", metavar="LIST", help="as in 0-255,300, ends included; or all (all)"
    )
    for kind, meaning in (
        ("labeled", "those with an instance that a person made"),
        ("suggested", "suggestions that nobody has labeled"),
    ):
        choice.add_argument(
            f"--only-{kind}-frames", dest="only", action="store_const", const=kind, help=meaning
        )
    add("--labels", metavar="LABELS.slp", help="where those frames are taken from")


def _add_poses(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("poses").add_argument
    add(
        "--peak-threshold",
        type=between(0, 1),
        metavar="T",
        help="least confidence of a node (the model's own, usually 0.2)",
    )
    add(
        "--crop-peak-threshold",
        type=between(0, 1),
        metavar="T",
        help="least confidence of a node in a crop, for two stages (--peak-threshold if given)",
    )
    add("--max-instances", type=positive_int, metavar="N", help="most instances in a frame")
    add("--batch-size", type=positive_int, metavar="B", help="frames in one request (16)")
    add("--centroids", metavar="LABELS.slp", help="where the animals are, for a second stage alone")


def _add_grouping(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("bottom-up models, by SLEAP's names").add_argument
    add(
        "--max-edge-length-ratio",
        type=between(1e-6, 1000),
        metavar="R",
        help="longer edges, as a fraction of the frame's longer side, are penalized (0.25)",
    )
    add("--dist-penalty-weight", type=between(0, 1000), metavar="W", help="how much so (1)")
    add("--n-points", type=positive_int, metavar="N", help="samples along an edge (10)")
    add(
        "--min-instance-peaks",
        type=between(0, 1000),
        metavar="N",
        help="fewest nodes of an instance; below 1 a fraction of the skeleton's (0)",
    )
    add("--min-line-scores", type=between(-1, 1), metavar="S", help="least score of an edge (0.25)")


def _add_classes(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("bottom-up ID models").add_argument
    add(
        "--only-best-class",
        action=argparse.BooleanOptionalAction,
        help="drop peaks assigned to another than their most probable class, as SLEAP does (no)",
    )
    add(
        "--peak-value-weight",
        type=between(0, 1000),
        metavar="W",
        help="0.0001: of peaks with equal probabilities the surer one wins (0)",
    )


def _add_filters(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("instances that are left out").add_argument
    add("--filter-min-visible-nodes", type=count, metavar="N", help="with fewer nodes (0)")
    add(
        "--filter-min-visible-node-fraction",
        type=between(0, 1),
        metavar="F",
        help="with a smaller part of the nodes (0)",
    )
    add(
        "--filter-min-mean-node-score",
        type=between(0, 10),
        metavar="S",
        help="with nodes of less confidence on average (0)",
    )
    add(
        "--filter-min-instance-score",
        type=between(-1000, 1000),
        metavar="S",
        help="with a lower score (none)",
    )
    add(
        "--filter-overlapping-method",
        choices=("none", "iou", "oks"),
        help="which overlap a better one, by boxes or by nodes (none)",
    )
    add(
        "--filter-overlapping-threshold",
        type=between(0, 1),
        metavar="T",
        help="by more than this (0.8)",
    )


def _add_tracking(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("tracking").add_argument
    add("--tracker", choices=("none", "window"), help="how animals are linked (none)")
    add("--animals", type=positive_int, metavar="N", help="animals that are there, for the tracker")


def _add_settings(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("settings").add_argument
    add(
        "--config",
        type=Path,
        metavar="FILE",
        help="everything that shapes the result: JSON, or a .slp or .h5 to be made again",
    )
    add("--save-config", type=Path, metavar="FILE", help="write that JSON, every default resolved")


def run(arguments: argparse.Namespace) -> int:
    """Tracks; returns the exit status."""
    started_s = time.time()
    from shoal_cli.ensemble.home import current_home
    from shoal_cli.ensemble.services import JOB_SERVICES
    from shoal_cli.progress import standard_progress
    from shoal_cli.session import session
    from shoal_cli.track_options import settings_from_arguments
    from shoal_cli.track_plan import plan_tracking
    from shoal_cli.track_run import TrackRun

    settings = settings_from_arguments(arguments)
    plan = plan_tracking(
        arguments.videos, arguments.output, settings, save_config=arguments.save_config
    )
    command = arguments.command_line
    with session(current_home(), JOB_SERVICES, command, standard_progress()) as connected:
        tracked = TrackRun(plan, connected).run()
    print(_summary(tracked, started_s))
    print(*(output.path for output in plan.outputs), sep="\n")
    return 0


def _summary(tracked: "Tracked", started_s: float) -> str:
    frame_count = sum(job.progress.committed_frame_count for job in tracked.jobs)
    counts = f"{frame_count} frames, {tracked.instance_count} instances"
    text = f"{counts} in {time.time() - started_s:.1f} s"
    first = tracked.jobs[0].progress.first_frame_time
    if first is None or first.timestamp() < started_s:
        return text  # another command had begun this job
    return f"{text}, the first frame after {first.timestamp() - started_s:.1f} s"
