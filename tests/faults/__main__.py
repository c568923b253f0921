"""`python -m tests.faults --count 100 --seed 1`: random single faults, and what came of them."""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.faults.campaign import run_campaign
from tests.faults.fault import VICTIMS

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def main() -> int:
    """Runs the faults, prints each and a table of all; returns 1 if any had consequences."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="faults (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the faults (%(default)s)")
    parser.add_argument("--victim", nargs="+", choices=VICTIMS, default=VICTIMS)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="shoal-faults-"))
    _say(f"logs: {folder}")
    seen: Counter[tuple[str, str, bool]] = Counter()
    trials = run_campaign(
        DATA, folder, count=arguments.count, seed=arguments.seed, victims=arguments.victim
    )
    for trial in trials:
        said = trial.complaint or "the same"
        _say(f"{trial.number:4d}  {trial.fault!s:58} {trial.seconds:6.1f} s  {said}")
        seen[trial.fault.victim, trial.fault.kind.value, not trial.complaint] += 1
    _say("\nvictim        fault        the same  not")
    for victim, kind in sorted({(victim, kind) for victim, kind, _ in seen}):
        good, bad = seen[victim, kind, True], seen[victim, kind, False]
        _say(f"{victim:13} {kind:12} {good:8d} {bad:4d}")
    return int(any(not good for _, _, good in seen))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
