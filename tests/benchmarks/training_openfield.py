"""One mouse in an open field, from DeepLabCut's project: errors beside DeepLabCut's.

`python -m tests.benchmarks.training_openfield -o FOLDER` imports the project's labels, trains a
single-animal model on 95 % of the frames (fixed seed) and scores it on the rest. DeepLabCut's
error is the mean distance of a node from its label, over all nodes and frames, in pixels; it calls
that RMSE. For comparison, DeepLabCut's own script for this project (examples/
testscript_openfielddata.py, 15,000 steps, 30 minutes on a GTX 1080 Ti) says: training 2.89 px, test
2.81 px; two people who label the same frames are 2.69 px apart (Mathis et al., Nature
Neuroscience 2018).
"""

import argparse
from dataclasses import replace
from pathlib import Path

from shoal_media.labels_import import import_labels
from shoal_training.config import SplitConfig, TrainingConfig
from shoal_training.evaluate import evaluate_split
from shoal_training.labelled_set import read_labelled_set
from shoal_training.recipes import recipe
from shoal_training.splits import read_split
from shoal_training.trained_run import open_trained_run
from tests.benchmarks.training_runs import DATA, UNENDING_EPOCHS, Run, train

PUBLISHED_PX = {"training": 2.89, "test": 2.81}


def config_of(recipe_name: str, labels: Path, budget_s: float, seed: int) -> TrainingConfig:
    """Returns the recipe with 5 % of the frames kept for the test, and none for validation.

    DeepLabCut validates on none either: what is tested is the last checkpoint.
    """
    config = recipe(recipe_name, "single_instance", [str(labels)])
    split = SplitConfig(validation_fraction=0.0, test_fraction=0.05, seed=seed)
    return replace(
        config,
        data=replace(config.data, split=split),
        optimization=replace(
            config.optimization,
            time_budget_s=budget_s,
            epochs=UNENDING_EPOCHS,
            early_stopping=None,
        ),
        run=replace(config.run, seed=seed, image_count=0, tensorboard=False),
    )


def main() -> None:
    """Trains what is missing and prints the errors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--budget", type=float, default=1200.0, help="seconds of each run")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    labels = given.output.resolve() / "openfield.slp"
    import_labels(DATA / "dlc_openfield", labels)
    for seed in given.seeds:
        config = config_of(given.recipe, labels, given.budget, seed)
        run = Run(
            name=f"openfield-{given.recipe}-{seed}-{given.budget:g}s", config=config, tests=()
        )
        folder = given.output / run.name
        train(run, folder)
        trained = open_trained_run(folder / "run")
        with read_labelled_set([labels], channels=trained.spec.channels) as labelled:
            split = read_split(folder / "run" / "split.json", frame_count=len(labelled.frames))
            for part, indices in (("training", split.training), ("test", split.test)):
                poses = evaluate_split(trained.predictor(), labelled, indices).poses
                assert poses is not None
                print(
                    f"{run.name}: {part}, {len(indices)} frames: mean error "
                    f"{poses.dist_mean_px:.2f} px (DeepLabCut {PUBLISHED_PX[part]} px), median "
                    f"{poses.dist_p50_px:.2f} px, {poses.visibility_recall:.1%} of nodes found",
                    flush=True,
                )


if __name__ == "__main__":
    main()
