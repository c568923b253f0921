"""`python -m shoal_training.evaluate`: scores the network of a run on labels of any recording."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from shoal_core.errors import InvalidArgument, ShoalError
from shoal_training.durable import write_durably
from shoal_training.evaluate import Evaluation, evaluate_frames
from shoal_training.labelled_set import LabelledSet, read_labelled_set
from shoal_training.plots.evaluation_pictures import draw_evaluation
from shoal_training.scored_frames import score_frames
from shoal_training.trained_run import open_trained_run


def run_command(arguments: Sequence[str] | None) -> int:
    """Prints the figures; returns the exit status, 2 after an error that was told."""
    given = _parser().parse_args(arguments)
    try:
        evaluation = _evaluate(given)
        if given.json is not None:
            write_durably(given.json, evaluation.to_json().encode())
    except ShoalError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return 2
    sys.stdout.write(describe(evaluation))
    return 0


def describe(evaluation: Evaluation) -> str:
    """Returns the main figures as lines of text."""
    lines = [
        f"{evaluation.kind}: {evaluation.instance_count} animals in {evaluation.frame_count} frames"
    ]
    if evaluation.poses is not None:
        poses = evaluation.poses
        lines += [
            f"mAP {poses.map:.4f}  mAR {poses.mar:.4f}  PCK {poses.pck_mean:.4f}",
            f"error: median {_px(poses.dist_p50_px)}, 95 % within {_px(poses.dist_p95_px)}",
            f"visibility: precision {poses.visibility_precision:.4f}, "
            f"recall {poses.visibility_recall:.4f}",
            f"animals: {poses.matched_count} found, {poses.missed_count} missed",
        ]
        width = max(len(node.name) for node in evaluation.nodes)
        lines += [
            f"  {node.name:{width}}  median {_px(node.dist_p50_px):>9}, "
            f"95 % {_px(node.dist_p95_px):>9}, PCK {node.pck_mean:.3f}"
            for node in evaluation.nodes
        ]
    if evaluation.centroids is not None:
        points = evaluation.centroids
        lines.append(
            f"centroids within {points.radius_px:.1f} px: precision {points.precision:.4f}, "
            f"recall {points.recall:.4f}, median {_px(points.dist_p50_px)}"
        )
    if evaluation.identities is not None:
        found = evaluation.identities
        lines.append(
            f"identities: {found.accuracy:.4f} right ({found.right_count} of {found.found_count})"
        )
        columns = (*evaluation.classes, "none")
        for name, row in zip(evaluation.classes, found.confusion, strict=True):
            counts = ", ".join(f"{n} as {said}" for n, said in zip(row, columns, strict=True))
            lines.append(f"  {name}: {counts}")
    return "\n".join(lines) + "\n"


def _evaluate(given: argparse.Namespace) -> Evaluation:
    run = open_trained_run(given.run)
    predictor = run.predictor()
    px_per_mm = given.px_per_mm or run.config.data.px_per_mm
    with read_labelled_set([given.labels], channels=run.spec.channels) as labelled:
        chosen = _chosen(labelled, given.frames, given.every)
        scored = score_frames(predictor, labelled, chosen, class_names=dict(given.classes))
        evaluation = evaluate_frames(scored, run.spec, px_per_mm=px_per_mm)
        if given.plots is not None:
            draw_evaluation(given.plots, predictor, labelled, scored, px_per_mm=px_per_mm)
    return evaluation


def _chosen(labelled: LabelledSet, frames: slice, every: int) -> list[int]:
    """Returns the labelled frames with these indices of the video, of them each `every`-th."""
    low, high = frames.start or 0, frames.stop
    chosen = [
        index
        for index, frame in enumerate(labelled.frames)
        if low <= frame.frame_index and (high is None or frame.frame_index < high)
    ][::every]
    if not chosen:
        raise InvalidArgument(
            "NO_GROUND_TRUTH",
            f"No labelled frame lies in --frames {low}:{'' if high is None else high}; the labels "
            f"have {len(labelled.frames)} frames up to "
            f"{max(frame.frame_index for frame in labelled.frames)}.",
        )
    return chosen


def _px(distance_px: float | None) -> str:
    return "-" if distance_px is None else f"{distance_px:.2f} px"


def _frames(text: str) -> slice:
    start, colon, stop = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text!r} is no range; write START:STOP")
    try:
        return slice(int(start or 0), int(stop) if stop else None)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no range; write START:STOP") from error


def _names(text: str) -> tuple[str, str]:
    theirs, equals, ours = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} does not read LABELS_NAME=MODEL_NAME")
    return theirs, ours


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m shoal_training.evaluate",
        description="Scores the network of a training run on labels. Networks that see crops are "
        "told the labelled animals' centroids.",
    )
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="folder of the run, or the model folder in it")
    add("labels", type=Path, metavar="LABELS.slp", help="labels of the same skeleton")
    add(
        "--frames",
        type=_frames,
        default=slice(None),
        metavar="START:STOP",
        help="only labelled frames of these indices of the video, START included, STOP not",
    )
    add("--every", type=_count, default=1, metavar="N", help="of these frames, each N-th")
    add(
        "--class",
        type=_names,
        action="append",
        default=[],
        dest="classes",
        metavar="LABELS_NAME=MODEL_NAME",
        help="what the model calls an identity of the labels; may be given several times",
    )
    add("--px-per-mm", type=float, metavar="X", help="scale; default: that of the run")
    add("--json", type=Path, metavar="FILE", help="write all figures there")
    add("--plots", type=Path, metavar="FOLDER", help="draw the figures there")
    return parser
