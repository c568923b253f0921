"""The demo as the commands that a user would type, one after the other."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shoal_cli.demo.recording import Recording, write_recording
from shoal_cli.progress import Progress
from shoal_core.synthetic import SyntheticWorld, WorldConfig

ANIMAL_COUNT = 3
_LABELLED_EVERY = 10
"""Neighbouring frames say the same; labels cost time."""
_TRAINING_WORLD = WorldConfig(
    frame_count=1000,
    height_px=336,
    width_px=448,
    animal_count=ANIMAL_COUNT,
    seed=2,
    channels=3,
    body_length_px=60,
)
_TEST_WORLD = WorldConfig(
    frame_count=300,
    height_px=336,
    width_px=448,
    animal_count=ANIMAL_COUNT,
    seed=5,
    channels=3,
    body_length_px=60,
)
"""Other paths on other bedding."""

_SETTINGS = (
    "data.anchor_part=body",
    "centered_instance:augment.articulation_deg=0",
    "centered_instance:augment.articulation_scale=0",
    "centered_instance:augment.paste_probability=0.3",
    "augment.scale=[0.93, 1.08]",
    "augment.gamma=[1, 1]",
    "augment.blur_sigma_px=0",
)
"""For two minutes: a body that is seen is found sooner than the middle of nodes some of which are
hidden; the other recording has the same light, lens and animals, so that less has to be varied."""

Command = Callable[[Sequence[str]], int]
"""Runs a command line without its first word; returns the exit status."""


@dataclass(frozen=True)
class DemoFiles:
    """What the demo leaves in its folder."""

    folder: Path

    @property
    def training(self) -> Recording:
        """What is learned from: 100 labelled frames."""
        return Recording(self.folder / "training.mp4", self.folder / "training.slp")

    @property
    def test(self) -> Recording:
        """What is tracked: 12 seconds, and what is true of them."""
        return Recording(self.folder / "recording.mp4", self.folder / "truth.slp")

    @property
    def model(self) -> Path:
        """The trained model."""
        return self.folder / "model"

    @property
    def tracked(self) -> Path:
        """Tracked poses."""
        return self.folder / "tracked.slp"

    @property
    def figures(self) -> Path:
        """What `shoal eval` says."""
        return self.folder / "figures.json"

    @property
    def rendering(self) -> Path:
        """The recording with the tracked poses on it."""
        return self.folder / "tracked.mp4"

    @property
    def picture(self) -> Path:
        """All of it on one page."""
        return self.folder / "demo.png"


def record(files: DemoFiles, progress: Progress) -> None:
    """Renders what is learned from, and what is tracked.

    Raises:
        PermissionDenied: OUTPUT_FORBIDDEN. ResourceExhausted: DISK_FULL.
    """
    for name, config, recording, step in (
        ("training", _TRAINING_WORLD, files.training, _LABELLED_EVERY),
        ("recording", _TEST_WORLD, files.test, 1),
    ):
        progress.step(f"rendering the {name}")
        frames = range(0, config.frame_count, step)
        write_recording(SyntheticWorld(config), frames, recording, progress)


def command_lines(files: DemoFiles, time_budget: str) -> list[list[str]]:
    """Returns the commands, each without its first word."""
    training, test = files.training, files.test
    train = ["train", str(training.labels), "--kind", "topdown", "--time-budget", time_budget]
    train += [word for setting in _SETTINGS for word in ("--set", setting)]
    track = ["track", str(test.video), "-m", str(files.model), "-o", str(files.tracked)]
    return [
        [*train, "-o", str(files.model)],
        [*track, "--tracker", "window", "--animals", str(ANIMAL_COUNT)],
        ["eval", str(test.labels), str(files.tracked), "--json", str(files.figures)],
        ["render", str(test.video), str(files.tracked), "-o", str(files.rendering), "--names"],
    ]


def carry_out(command_lines: Sequence[Sequence[str]], command: Command) -> int:
    """Runs commands, each shown before, until one fails; returns the last exit status."""
    for words in command_lines:
        print(f"\n$ shoal {shlex.join(words)}", flush=True)
        status = command(words)
        if status != 0:
            return status
    return 0
