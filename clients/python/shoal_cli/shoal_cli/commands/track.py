"""`shoal track`: videos and a model in, tracked poses out."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from shoal_cli.argument_types import positive_int, threshold

if TYPE_CHECKING:
    from shoal_cli.commands import Commands
    from shoal_cli.track_run import Tracked

_EPILOG = """\
Interrupt it as you like: the same command goes on where it stopped. With no ensemble running
(`shoal up`), one is started for this command and ended with it.
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
    add("-o", "--output", required=True, metavar="OUT", help="OUT.slp, or OUT/ for one each")
    add("--frames", metavar="FIRST-LAST", help="frames to process, both included (all)")
    add("--tracker", choices=("none", "window"), help="how animals are linked (none)")
    add("--animals", type=positive_int, metavar="N", help="animals that are there, for the tracker")
    add("--max-instances", type=positive_int, metavar="N", help="most instances in a frame")
    add("--batch-size", type=positive_int, metavar="B", help="frames in one request (16)")
    add("--peak-threshold", type=threshold, metavar="T", help="least confidence of a node (0.2)")
    add("--centroids", metavar="LABELS.slp", help="where the animals are, for a second stage alone")
    add("--config", type=Path, metavar="FILE", help="JSON with everything that shapes the result")
    add("--save-config", type=Path, metavar="FILE", help="write that JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Tracks; returns the exit status."""
    started_s = time.time()
    from shoal_cli.ensemble.home import current_home
    from shoal_cli.ensemble.services import JOB_SERVICES
    from shoal_cli.files import write_whole
    from shoal_cli.progress import standard_progress
    from shoal_cli.session import session
    from shoal_cli.track_plan import plan_tracking
    from shoal_cli.track_run import TrackRun
    from shoal_cli.track_settings import settings_from_arguments

    settings = settings_from_arguments(arguments)
    plan = plan_tracking(arguments.videos, arguments.output, settings)
    if arguments.save_config is not None:
        write_whole(arguments.save_config, settings.to_json())
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
