"""`shoal render`: a video with poses drawn on it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from shoal_cli.argument_types import count, positive_int

if TYPE_CHECKING:
    from shoal_cli.commands import Commands


def add_to(commands: "Commands") -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "render",
        help="draw poses on a video",
        description="Draws nodes, edges and trails, one colour per track.",
    )
    add = parser.add_argument
    add("video", type=Path, metavar="VIDEO", help="video file or folder of images")
    add("predictions", type=Path, metavar="PRED.slp", help="poses of that video")
    add("-o", "--output", type=Path, required=True, metavar="OUT.mp4", help="file to write")
    add("--frames", metavar="FIRST-LAST", help="frames to draw, both included (all)")
    add(
        "--trail",
        type=count,
        default=40,
        metavar="N",
        help="frames that a trail lasts (40); 0: none",
    )
    add("--names", action="store_true", help="write each track's name beside the animal")
    add("--fps", type=positive_int, metavar="N", help="frames a second (the video's, or 25)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Draws; returns the exit status."""
    from shoal_cli.installed import require

    require("shoal_media", "sleap_io")
    from shoal_cli.progress import standard_progress
    from shoal_cli.rendering import Rendering, render

    rendering = Rendering(
        video=arguments.video,
        predictions=arguments.predictions,
        output=arguments.output,
        frames=arguments.frames,
        trail_frame_count=arguments.trail,
        has_names=arguments.names,
        fps=arguments.fps,
    )
    with standard_progress() as progress:
        frame_count = render(rendering, progress)
    print(f"{frame_count} frames → {arguments.output}")
    return 0
