"""`shoal eval`: how right predictions are."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal_cli.commands import Commands

_MEANINGS = {
    "map": "mean average precision, OKS 0.50 to 0.95",
    "mar": "mean average recall, OKS 0.50 to 0.95",
    "oks_mean": "mean OKS of matched instances",
    "dist_mean_px": "mean distance of matched nodes",
    "dist_p50_px": "median distance",
    "dist_p95_px": "distance that 95 % of the nodes do not exceed",
    "pck_mean": "fraction of labelled nodes found within 1 to 10 px, mean over these radii",
    "visibility_precision": "fraction of the predicted nodes that are labelled",
    "visibility_recall": "fraction of the labelled nodes that are predicted",
    "matched_count": "labelled instances that were found",
    "missed_count": "labelled instances that were not",
    "idf1": "instances under the right identity (IDF1)",
    "mota": "1 - missed, false and switched instances per labelled one",
    "switch_count": "times that an animal goes on under another track",
}
_IDENTITIES = ("idf1", "mota", "switch_count")
"""Figures of files with tracks."""


def add_to(commands: "Commands") -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "eval",
        help="compare predictions with labels",
        description="Compares predictions with labels, over the labelled frames. Videos are "
        "matched by file name, frames by index, nodes by name.",
    )
    parser.add_argument("truth", type=Path, metavar="GT.slp", help="labels")
    parser.add_argument("predicted", type=Path, metavar="PRED.slp", help="predictions")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the figures; returns the exit status."""
    from shoal_cli.installed import require

    require("numpy", "scipy", "sleap_io")
    import dataclasses
    import json

    from shoal_cli.evaluation import evaluate_files
    from shoal_cli.files import write_whole

    accuracy = evaluate_files(arguments.truth, arguments.predicted)
    figures = dataclasses.asdict(accuracy.poses)
    identities = accuracy.identities
    if identities is not None:
        figures |= {name: getattr(identities, name) for name in _IDENTITIES}
    for name, meaning in _MEANINGS.items():
        if name in figures:
            print(f"{name:20} {_text(figures[name]):>9}  {meaning}")
    figures["nodes"] = [dataclasses.asdict(node) for node in accuracy.nodes]
    _print_nodes(figures["nodes"])
    if arguments.json is not None:
        write_whole(arguments.json, json.dumps(figures, indent=2) + "\n")
    return 0


def _print_nodes(nodes: list[dict[str, Any]]) -> None:
    width = max(len(node["name"]) for node in nodes)
    columns = ("truth_count", "found_count", "dist_p50_px", "dist_p95_px", "pck_mean")
    print("", " ".join([" " * width, *(f"{column:>11}" for column in columns)]), sep="\n")
    for node in nodes:
        values = (f"{_text(node[column]):>11}" for column in columns)
        print(f"{node['name']:{width}}", *values)


def _text(value: float | int | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4f}"
