"""How long the command takes to say something: `--help`, and the first inferred frame.

`make bench-start` runs it. The first frame counts from the start of the command to the first frame
that the engine has answered, with no ensemble running and the model registered.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SHOAL = Path(sys.executable).parent / "shoal"
FIRST_FRAME = re.compile(r"the first frame after ([0-9.]+) s")
HELP_COUNT, TRACK_COUNT = 10, 5


def help_seconds() -> float:
    """Returns the wall time of one `shoal --help`."""
    begun = time.perf_counter()
    subprocess.run([SHOAL, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def shoal(home: Path, *words: str | Path) -> str:
    """Returns what a `shoal` command says."""
    completed = subprocess.run(
        [SHOAL, *words],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"SHOAL_HOME": str(home)},
    )
    return completed.stdout + completed.stderr


def first_frame_seconds(home: Path, number: int) -> float:
    """Returns the time to the first frame of one `shoal track` over frames not yet tracked."""
    video, out = DATA / "pair" / "centered_pair_small.mp4", home / "out.slp"
    frames = f"{number * 16}-{number * 16 + 15}"
    said = shoal(home, "track", video, "-m", "bench", "-o", out, "--frames", frames)
    found = FIRST_FRAME.search(said)
    if found is None:
        sys.exit(f"no first frame in: {said}")
    return float(found.group(1))


def main() -> None:
    """Prints medians and ranges."""
    helps = [help_seconds() for _ in range(HELP_COUNT)]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        model = DATA / "models" / "minimal_instance.UNet.bottomup"
        shoal(home, "models", "import", model, "--name", "bench")
        firsts = [first_frame_seconds(home, number) for number in range(TRACK_COUNT)]
    for name, seconds in (("shoal --help", helps), ("first frame", firsts)):
        median, low, high = statistics.median(seconds), min(seconds), max(seconds)
        print(f"{name}: median {median:.2f} s ({low:.2f} to {high:.2f}, {len(seconds)} runs)")


if __name__ == "__main__":
    main()
