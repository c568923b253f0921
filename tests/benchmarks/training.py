"""How good a model is after ten minutes on two cores: `python -m tests.benchmarks.training`.

Centred instances of the flies, ground-truth centroids, in both directions between the recordings:

* A: trained on every tenth of frames 0 to 999 of `flies_demo` (100 frames), scored on `flies_clip`
  (800 to 999) and on 1010 to 1349 of `flies_demo`;
* B: trained on every tenth of frames 0 to 799 of `flies_clip` (80 frames, the hard case: the flies
  hardly turn), scored on every fifth frame of `flies_demo`.

It prints a table and draws mAP against time. What is done is kept in the output folder, and the
same command goes on with the rest. Nothing else should run on the machine meanwhile.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.curves import draw_curves
from tests.benchmarks.training_runs import CLIP, DEMO, Run, Test, config_of, scores

MARKS_S = (60.0, 120.0, 240.0, 420.0)
LATER_CLIP = Test(title="flies_clip 800-999", labels=CLIP, frames=range(800, 1000))
LATER_DEMO = Test(title="flies_demo 1010-1349", labels=DEMO, frames=range(1010, 1350))
WHOLE_DEMO = Test(title="flies_demo, every fifth", labels=DEMO, frames=range(0, 1350, 5))
DIRECTIONS = {
    "A": (DEMO, range(0, 1000, 10), (LATER_CLIP, LATER_DEMO)),
    "B": (CLIP, range(0, 800, 10), (WHOLE_DEMO,)),
}
NO_VALIDATION = "data.split.validation_fraction=0"
WAYS = {
    "fast": ("fast", (NO_VALIDATION,)),
    "sleap": ("sleap", ()),
    "fast-fp32": ("fast", (NO_VALIDATION, "optimization.precision=fp32")),
    "fast-bf16": ("fast", (NO_VALIDATION, "optimization.precision=bf16")),
    "sleap-bf16": ("sleap", ("optimization.precision=bf16",)),
}
"""Way → recipe, and what is set in it. All have the same frames; `sleap` decides by a tenth of them
how fast it learns and which network it keeps, `fast` decides nothing by them."""


def run_of(direction: str, way: str, seed: int, budget_s: float) -> Run:
    """Returns what is trained and scored."""
    labels, frames, tests = DIRECTIONS[direction]
    recipe, settings = WAYS[way]
    config = config_of(
        recipe,
        "centered_instance",
        labels,
        frames,
        budget_s=budget_s,
        seed=seed,
        settings=settings,
    )
    marks_s = tuple(mark_s for mark_s in MARKS_S if mark_s < budget_s)
    name = f"{direction}-{way}-{seed}-{budget_s:g}s"
    return Run(name=name, config=config, tests=tests, marks_s=marks_s)


def rows(run: Run, made: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields a row per test and time of scoring."""
    for test in run.tests:
        for mark, figures in made[test.title].items():
            yield {
                "run": run.name,
                "test": test.title,
                "seconds": run.config.optimization.time_budget_s
                if mark == "final"
                else float(mark),
                "is_final": mark == "final",
                "map": figures["poses"]["map"],
                "mar": figures["poses"]["mar"],
                "dist_p50_px": figures["poses"]["dist_p50_px"],
                "pck_mean": figures["poses"]["pck_mean"],
            }


def draw(table: list[dict[str, Any]], folder: Path) -> None:
    """Draws mAP against time for each test, one line per way."""
    for test in sorted({row["test"] for row in table}):
        curves: dict[str, list[list[tuple[float, float]]]] = {}
        of_test = [row for row in table if row["test"] == test]
        for run in dict.fromkeys(row["run"] for row in of_test):
            points = [(row["seconds"] / 60, row["map"]) for row in of_test if row["run"] == run]
            way = run.split("-", 1)[1].rsplit("-", 2)[0]
            curves.setdefault(way, []).append(sorted(points))
        name = test.replace(" ", "_").replace(",", "")
        draw_curves(
            folder / f"map_{name}.png",
            curves,
            x_label="training time (min)",
            y_label=f"mAP, {test}",
        )


def main() -> None:
    """Trains what is missing and prints every figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--directions", nargs="+", choices=DIRECTIONS, default=list(DIRECTIONS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["fast", "sleap"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--budget", type=float, default=600.0, help="seconds of each run")
    given = parser.parse_args()
    table: list[dict[str, Any]] = []
    for seed in given.seeds:
        for direction in given.directions:
            for way in given.ways:
                run = run_of(direction, way, seed, given.budget)
                table += rows(run, scores(run, given.output))
                for row in table:
                    if row["run"] == run.name and row["is_final"]:
                        print(
                            f"{row['run']:22} {row['test']:24} mAP {row['map']:.3f}  "
                            f"mAR {row['mar']:.3f}  median {row['dist_p50_px']:.2f} px",
                            flush=True,
                        )
                (given.output / "table.json").write_text(json.dumps(table, indent=2) + "\n")
                draw(table, given.output)


if __name__ == "__main__":
    main()
