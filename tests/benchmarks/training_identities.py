"""How often ID models keep female and male on flies they never saw.

`python -m tests.benchmarks.training_identities -o FOLDER` trains both kinds on every tenth of
frames 0 to 999 of `flies_clip` and names the animals of every fifth frame of `flies_demo`, frame by
frame, without tracking. Which track is which there is known by body length.
"""

import argparse
from pathlib import Path
from typing import get_args

from shoal_training.config import ModelKind
from tests.benchmarks.training_runs import CLIP, DEMO, Run, Test, config_of, scores

KINDS: tuple[ModelKind, ...] = tuple(
    kind for kind in get_args(ModelKind) if kind.startswith("multiclass")
)
SAME = Test(title="flies_clip, between", labels=CLIP, frames=range(5, 1000, 50))
OTHER = Test(
    title="flies_demo, every fifth",
    labels=DEMO,
    frames=range(0, 1350, 5),
    class_names={"track_0": "male", "track_1": "female"},
)


def main() -> None:
    """Trains what is missing and prints every figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--budget", type=float, default=600.0, help="seconds of each run")
    given = parser.parse_args()
    for seed in given.seeds:
        for kind in given.kinds:
            config = config_of(
                given.recipe, kind, CLIP, range(0, 1000, 10), budget_s=given.budget, seed=seed
            )
            name = f"{kind}-{given.recipe}-{seed}-{given.budget:g}s"
            run = Run(name=name, config=config, tests=(SAME, OTHER))
            for title, made in scores(run, given.output).items():
                figures = made["final"]
                identities = figures["identities"]
                print(
                    f"{run.name}: {title}: {identities['accuracy']:.4f} of the named animals are "
                    f"right; confusion {identities['confusion']} ({', '.join(figures['classes'])}, "
                    f"none); mAP {figures['poses']['map']:.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
