"""Runs of the training program for benchmarks: each is done once, and goes on where it was left.

Each run has a folder: what was trained, links to its checkpoints at some times, and its scores. A
run with scores is not repeated, so that a benchmark of hours may be interrupted at any time.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shoal_media.labels_file import read_labels
from shoal_training.checkpoint import LAST, Last, load_last
from shoal_training.config import ModelKind, TrainingConfig
from shoal_training.config_file import apply_settings, write_config
from shoal_training.evaluate import evaluate_frames
from shoal_training.finish import MODEL
from shoal_training.labelled_set import read_labelled_set
from shoal_training.recipes import recipe
from shoal_training.scored_frames import score_frames
from shoal_training.trained_run import open_trained_run

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CLIP = DATA / "flies_clip" / "clip.train.slp"
DEMO = DATA / "flies_demo" / "demo-flies13-preds.slp"
FLIES_PX_PER_MM = 30.3
UNENDING_EPOCHS = 100_000
"""Where the time budget decides."""
_POLL_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Test:
    """Labelled frames that a run is scored on."""

    title: str
    labels: Path
    frames: range
    """Indices of the video."""
    class_names: Mapping[str, str] | None = None
    """The labels' name of an identity → the model's."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One network to train, and what to score it on."""

    name: str
    """Of its folder."""
    config: TrainingConfig
    tests: tuple[Test, ...]
    marks_s: tuple[float, ...] = ()
    """Times of training at which the network is scored as well."""


def config_of(
    recipe_name: str,
    kind: ModelKind,
    labels: Path,
    frames: range,
    *,
    budget_s: float,
    seed: int,
    settings: Sequence[str] = (),
) -> TrainingConfig:
    """Returns a recipe for some frames of a video's labels, ended by time alone."""
    [video] = read_labels(labels, prefer="user").videos
    wanted = set(frames)
    chosen = tuple(i for i, f in enumerate(video.frames) if f.frame_index in wanted)
    config = recipe(recipe_name, kind, [str(labels)])
    config = replace(
        config,
        data=replace(config.data, frames=chosen, px_per_mm=FLIES_PX_PER_MM),
        optimization=replace(
            config.optimization,
            time_budget_s=budget_s,
            epochs=UNENDING_EPOCHS,
            early_stopping=None,
        ),
        run=replace(config.run, seed=seed, image_count=0, tensorboard=False),
    )
    return apply_settings(config, settings)


def scores(run: Run, folder: Path) -> dict[str, Any]:
    """Returns the figures of a run by test, "final" and by mark; trains it where need be."""
    folder = folder / run.name
    path = folder / "scores.json"
    if not path.exists():
        train(run, folder)
        made = {test.title: dict(_score(test, run, folder)) for test in run.tests}
        beside = path.with_suffix(".part")
        beside.write_text(json.dumps(made, indent=2) + "\n")
        beside.replace(path)
    done: dict[str, Any] = json.loads(path.read_text())
    return done


def train(run: Run, folder: Path) -> None:
    """Trains in a process of its own; checkpoints of the marks are kept beside the run.

    A run whose model was exported, which is done last, is not trained again.
    """
    if (folder / "run" / MODEL).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_config(run.config, folder / "wanted.json")
    command = [sys.executable, "-m", "shoal_training", str(folder / "wanted.json")]
    with (folder / "output.txt").open("a") as output:
        process = subprocess.Popen(
            [*command, "-o", str(folder / "run"), "--resume"], stdout=output, stderr=output
        )
        keep_marks(folder, run.marks_s, is_over=lambda: process.poll() is not None)
    if process.returncode:
        raise SystemExit(f"{run.name}: training failed; see {folder / 'output.txt'}")


def keep_marks(
    folder: Path,
    marks_s: Sequence[float],
    *,
    is_over: Callable[[], bool],
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Links the first checkpoint that is as old as each mark.

    The program puts a new file in the checkpoint's place: a link to the old one costs nothing,
    so that what is measured is not disturbed.
    """
    last = folder / "run" / LAST
    log = folder / "run" / "log.csv"
    while True:
        over = is_over()
        seconds = _seconds(log)
        for mark_s in marks_s:
            kept = _mark(folder, mark_s)
            if seconds >= mark_s and last.exists() and not kept.exists():
                os.link(last, kept)
        if over:
            return
        wait(_POLL_S)


def _seconds(log: Path) -> float:
    """Returns the time of the last whole line of a run's log."""
    if not log.exists():
        return 0.0
    header, *lines = log.read_text().split("\n")
    whole = [line for line in lines[:-1] if line]
    return float(whole[-1].split(",")[header.split(",").index("seconds")]) if whole else 0.0


def _mark(folder: Path, mark_s: float) -> Path:
    return folder / f"after_{mark_s:g}_s.pt"


def _score(test: Test, run: Run, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields "final" and the marks that were reached, with the figures of each."""
    weights: dict[str, Any] = {"final": None}
    for mark_s in run.marks_s:
        kept = _mark(folder, mark_s)
        if kept.exists():
            last: Last = load_checkpoint(kept)
            weights[f"{mark_s:g}"] = last.mean_network or last.network
    for title, weight in weights.items():
        trained = open_trained_run(folder / "run", weight)
        with read_labelled_set([test.labels], channels=trained.spec.channels) as labelled:
            chosen = [i for i, f in enumerate(labelled.frames) if f.frame_index in test.frames]
            predictor = trained.predictor()
            found = score_frames(predictor, labelled, chosen, class_names=test.class_names)
        yield title, evaluate_frames(found, trained.spec, px_per_mm=FLIES_PX_PER_MM).figures()


def load_checkpoint(path: Path) -> Last:
    """Returns a checkpoint under another name than that of a run's last one."""
    with tempfile.TemporaryDirectory() as folder:
        under = Path(folder) / LAST
        under.parent.mkdir()
        under.symlink_to(path.resolve())
        last = load_last(Path(folder))
    assert last is not None
    return last
