"""`shoal models compare`: two models on the same frames, as a table or as JSON."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from shoal_cli.table import table_text

if TYPE_CHECKING:
    from shoal_cli.session import Session
    from shoal_client import ModelComparison


def run_compare(arguments: argparse.Namespace, session: "Session", names: tuple[str, str]) -> int:
    """Compares; returns the exit status.

    Args:
        arguments: `video` and `json`.
        session: A connection to serving and the engine.
        names: Resource names of the two versions.
    """
    from shoal_cli.model_tuning import spread_frames

    session.progress.step("reading frames")
    frames = spread_frames(arguments.video)
    session.progress.step("comparing")
    comparison = session.patiently(lambda: session.shoal.models.compare(names, frames))
    print(json.dumps(_document(comparison), indent=2) if arguments.json else _text(comparison))
    return 0


def _document(comparison: "ModelComparison") -> dict[str, Any]:
    import numpy as np

    px = comparison.distances_px
    quantiles = np.percentile(px, (50, 95, 99)).tolist() if len(px) else [None] * 3
    return {
        "frame_count": comparison.frame_count,
        "nodes": list(comparison.nodes),
        "models": [vars(model) for model in comparison.models],
        "matched_instance_count": comparison.matched_instance_count,
        "node_count": len(px),
        **dict(zip(("median_px", "p95_px", "p99_px"), quantiles, strict=True)),
    }


def _text(comparison: "ModelComparison") -> str:
    rows = [
        (
            model.version.removeprefix("models/").replace("/versions/", " "),
            str(model.instance_count),
            str(model.lone_node_count),
            f"{model.frame_ms:.1f}",
        )
        for model in comparison.models
    ]
    table = table_text(("MODEL", "ANIMALS", "NODES ONLY HERE", "MS/FRAME"), rows)
    found = _document(comparison)
    if not found["node_count"]:
        return f"{table}\nno animal is found by both in {comparison.frame_count} frames"
    return (
        f"{table}\n{comparison.matched_instance_count} animals of {comparison.frame_count} frames "
        f"found by both; {found['node_count']} nodes are {found['median_px']:.2g} px apart in the "
        f"median (95 %: {found['p95_px']:.2g} px, 99 %: {found['p99_px']:.2g} px)"
    )
