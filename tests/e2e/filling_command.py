"""`shoal track` on a small disk that fills up on the way and is emptied again.

`python -m tests.e2e.filling_command HOME VIDEO MODEL OUT`, with a small disk mounted at HOME; says
in lines of JSON what became of it. Run by test_full_disk.py, where it may mount one.
"""

import json
import subprocess
import sys
from pathlib import Path

from .shoal_command import SHOAL, environment

_BLOCK = b"x" * 4096


def main() -> int:
    home, video, model, out = map(Path, sys.argv[1:])
    process = subprocess.Popen(
        [*SHOAL, "track", str(video), "-m", str(model), "-o", str(out), "--frames", "0-63"],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stdout is not None
    said = ""
    filler = home / "filler"
    for line in process.stderr:
        said += line
        if line.startswith("inferring ") and not filler.exists() and "paused" not in said:
            _fill(filler)
        if line.startswith("paused: "):
            filler.unlink(missing_ok=True)
    printed = process.stdout.read()
    sys.stdout.write(json.dumps({"status": process.wait(), "said": said, "printed": printed}))
    return 0


def _fill(path: Path) -> None:
    """Writes until the disk has no room at all."""
    try:
        with path.open("wb", buffering=0) as file:
            while True:
                file.write(_BLOCK)
    except OSError:
        return


if __name__ == "__main__":
    sys.exit(main())
