"""What the demo has made, on one page.

Axis legend: H height, W width, C channels, T frames, K strips.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_cli.demo.steps import DemoFiles
from shoal_core.metrics import pair_frames
from shoal_core.metrics.localization import match_instances
from shoal_core.pose import NO_TRACK, FramePoses
from shoal_media.labels_file import LabelsFile, read_labels
from shoal_media.readers import open_video
from shoal_media.rendering import PALETTE, PoseRenderer, RenderStyle

_INK, _PALE = "#1f2933", "#d9dee3"
_TRAIL_FRAME_COUNT = 60
_SHOWN_FRAME_COUNT = 3
_PERCENTILES = (50, 90)


def draw_picture(files: DemoFiles) -> None:
    """Writes the page: tracked frames, errors of each node, who is who over time."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    truth = read_labels(files.test.labels, prefer="user")
    tracked = read_labels(files.tracked, prefer="predicted")
    pairs = pair_frames(truth.videos[0].frames, tracked.videos[0].frames)
    figure: Any = Figure(figsize=(13, 7.6), dpi=120, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.25, 1))
    _draw_frames(upper, files, tracked, pairs)
    errors, identities = lower.subplots(1, 2, width_ratios=(1, 1.4))
    _draw_errors(errors, truth, pairs)
    _draw_identities(identities, truth, pairs)
    figure.suptitle(_title(files.figures), color=_INK, fontsize=13)
    figure.savefig(files.picture)


def _title(path: Path) -> str:
    """Returns the figures that there are: a model that finds nobody has no errors to tell."""
    figures = json.loads(path.read_text())
    forms = {
        "map": "mAP {:.3f}",
        "dist_p50_px": "median error {:.2f} px",
        "idf1": "IDF1 {:.3f}",
        "switch_count": "{} switches of identity",
    }
    return " · ".join(
        form.format(figures[name]) for name, form in forms.items() if figures.get(name) is not None
    )


def _draw_frames(
    figure: Any,
    files: DemoFiles,
    tracked: LabelsFile,
    pairs: Sequence[tuple[FramePoses, FramePoses]],
) -> None:
    """Shows the frames in which the animals are closest to one another, and their trails."""
    shown = _closest_frames([truth for truth, _ in pairs])
    for axes, index in zip(figure.subplots(1, len(shown)), shown, strict=True):
        axes.imshow(_rendered(files.test.video, tracked, [p for _, p in pairs], index))
        axes.set_title(f"frame {index}", color=_INK, fontsize=10)
        axes.set_axis_off()


def _closest_frames(frames: Sequence[FramePoses]) -> list[int]:
    """Returns the frame of each part of the recording with the least distance of two animals."""
    gaps_T = np.array([_least_gap(frame) for frame in frames])
    parts = np.array_split(np.arange(len(frames)), _SHOWN_FRAME_COUNT)
    return [int(part[np.argmin(gaps_T[part])]) for part in parts]


def _least_gap(frame: FramePoses) -> float:
    centers_I2 = np.nanmean(frame.points_px_IN2, axis=1)
    gaps_II = np.linalg.norm(centers_I2[:, None] - centers_I2, axis=2)
    np.fill_diagonal(gaps_II, np.inf)
    return float(gaps_II.min(initial=np.inf))


def _rendered(
    video: Path, tracked: LabelsFile, frames: Sequence[FramePoses], index: int
) -> NDArray[np.uint8]:
    """Returns a frame [H, W, 3] with its poses and the trails before it, twice as large."""
    style = RenderStyle(scale=2, trail_frame_count=_TRAIL_FRAME_COUNT, has_labels=True)
    renderer = PoseRenderer(tracked.skeleton, tracked.track_names, style=style)
    first = max(0, index - _TRAIL_FRAME_COUNT)
    with open_video(video) as reader:
        for position, pixels_HWC in enumerate(reader.frames(first, index + 1), start=first):
            picture_HW3 = renderer.draw(pixels_HWC, frames[position])
    return picture_HW3


def _draw_errors(
    axes: Any, truth: LabelsFile, pairs: Sequence[tuple[FramePoses, FramePoses]]
) -> None:
    errors_NM = _node_errors_px(pairs)
    rows = np.arange(len(truth.skeleton.nodes))
    for percentile, color in zip(_PERCENTILES, ("#0072b2", "#9ecae1"), strict=True):
        values_N = [
            np.percentile(errors_M, percentile) if len(errors_M) else np.nan
            for errors_M in errors_NM
        ]
        axes.barh(
            rows,
            values_N,
            color=color,
            zorder=2 + (100 - percentile) / 100,
            label=f"{percentile} % of them",
        )
    axes.set_yticks(rows, labels=[name.replace("_", " ") for name in truth.skeleton.nodes])
    axes.invert_yaxis()
    axes.set_xlabel("distance from the truth not exceeded by … (px)", color=_INK)
    axes.set_title("Errors of each node", color=_INK, fontsize=11, loc="left")
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    _strip(axes, "x")


def _node_errors_px(
    pairs: Sequence[tuple[FramePoses, FramePoses]],
) -> list[NDArray[np.float64]]:
    """Returns the errors of each node over all matched animals, both ends visible."""
    gaps = []
    for truth, predicted in pairs:
        true_M, predicted_M = match_instances(truth.points_px_IN2, predicted.points_px_IN2)
        difference = truth.points_px_IN2[true_M] - predicted.points_px_IN2[predicted_M]
        gaps.append(np.linalg.norm(difference, axis=2))
    gaps_MN = np.concatenate(gaps).astype(np.float64)
    return [column[np.isfinite(column)] for column in gaps_MN.T]


def _draw_identities(
    axes: Any, truth: LabelsFile, pairs: Sequence[tuple[FramePoses, FramePoses]]
) -> None:
    """Draws for each animal, over time, the colour of the track that it is found under."""
    count = len(truth.track_names)
    strips_KT3 = np.ones((count, len(pairs), 3))
    for column, (frame, predicted) in enumerate(pairs):
        true_M, predicted_M = match_instances(frame.points_px_IN2, predicted.points_px_IN2)
        for row, match in zip(true_M, predicted_M, strict=True):
            track = int(predicted.track_indices_I[match])
            if track != NO_TRACK:
                color = np.array(PALETTE[track % len(PALETTE)]) / 255
                strips_KT3[frame.track_indices_I[row], column] = color
    extent = (0, len(pairs), count - 0.5, -0.5)
    axes.imshow(strips_KT3, aspect="auto", interpolation="nearest", extent=extent)
    for row in range(1, count):
        axes.axhline(row - 0.5, color="white", linewidth=8)
    axes.set_yticks(range(count), labels=truth.track_names)
    axes.set_xlabel("frame", color=_INK)
    axes.set_title(
        "Track that each animal is found under (white: not found)",
        color=_INK,
        fontsize=11,
        loc="left",
    )
    _strip(axes, "none")


def _strip(axes: Any, grid: str) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0, colors=_INK)
    if grid != "none":
        axes.grid(visible=True, axis=grid, color=_PALE, linewidth=0.8)
        axes.set_axisbelow(True)
