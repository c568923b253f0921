"""Whether a killed run ends like others: `python -m tests.benchmarks.training_resume -o FOLDER`.

Centred instances of the flies, `fast`, a few epochs: undisturbed with three seeds, and with the
first one again, killed (SIGKILL) at three random points and resumed each time. The last losses of
the killed run should lie where those of the seeds do.
"""

import argparse
import csv
import random
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from shoal_training.config import TrainingConfig
from shoal_training.config_file import write_config
from shoal_training.finish import MODEL
from tests.benchmarks.training_runs import DEMO, config_of

SEEDS = (0, 1, 2)
KILL_COUNT = 3
STARTING_S = 8.0
"""Until the program trains."""
SHORT = (
    "optimization.time_budget_s=null",
    "optimization.epochs=6",
    "optimization.min_batches_per_epoch=50",
)


def command_of(folder: Path, seed: int) -> list[str]:
    """Writes a run's configuration; returns what starts it, or goes on with it."""
    config: TrainingConfig = config_of(
        "fast", "centered_instance", DEMO, range(0, 1000, 10), budget_s=1, seed=seed, settings=SHORT
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_config(replace(config, name=folder.name), folder / "wanted.json")
    program = [sys.executable, "-m", "shoal_training", str(folder / "wanted.json")]
    return [*program, "-o", str(folder / "run"), "--resume"]


def finish(folder: Path, seed: int) -> float:
    """Trains to the end; returns the seconds of training."""
    with (folder.parent / f"{folder.name}.txt").open("a") as output:
        subprocess.run(command_of(folder, seed), stdout=output, stderr=output, check=True)
    return float(log(folder)[-1]["seconds"])


def kill(folder: Path, seed: int, seconds: float) -> None:
    """Trains for so long at most, and kills the program where it then is."""
    with (folder.parent / f"{folder.name}.txt").open("a") as output:
        process = subprocess.Popen(command_of(folder, seed), stdout=output, stderr=output)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def log(folder: Path) -> list[dict[str, str]]:
    """Returns what a run noted of each epoch."""
    with (folder / "run" / "log.csv").open() as lines:
        return list(csv.DictReader(lines))


def main() -> None:
    """Trains what is missing and prints the last losses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the runs")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    whole = [given.output / f"seed-{seed}" for seed in SEEDS]
    spans_s = [finish(folder, seed) for folder, seed in zip(whole, SEEDS, strict=True)]
    killed = given.output / "killed"
    if not (killed / "run" / MODEL).exists():
        draw = random.Random(0)
        points_s = sorted(draw.uniform(0.1, 0.9) * spans_s[0] for _ in range(KILL_COUNT))
        for begin_s, end_s in pairwise((0.0, *points_s)):
            kill(killed, SEEDS[0], STARTING_S + end_s - begin_s)
        print("killed after about", ", ".join(f"{point_s:.0f}" for point_s in points_s), "s")
    finish(killed, SEEDS[0])
    for folder in (*whole, killed):
        last = log(folder)[-1]
        print(
            f"{folder.name:8} epoch {last['epoch']}: loss {float(last['loss']):.4f}, "
            f"validation {float(last['val_loss']):.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
