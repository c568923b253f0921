"""`python -m tests.faults --count 100 --seed 1`: random single faults, and what came of them."""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.faults.campaign import run_campaign
from tests.faults.fault import SERVICES

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def main() -> int:
    """Runs the faults, prints each and a table of all; returns 1 if any had consequences."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="faults (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the faults (%(default)s)")
    parser.add_argument("--service", nargs="+", choices=SERVICES, default=SERVICES)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="shoal-faults-"))
    _say(f"logs: {folder}")
    seen: Counter[tuple[str, str, bool]] = Counter()
    trials = run_campaign(
        DATA, folder, count=arguments.count, seed=arguments.seed, services=arguments.service
    )
    for trial in trials:
        said = trial.complaint or "the same"
        _say(f"{trial.number:4d}  {trial.fault!s:58} {trial.seconds:6.1f} s  {said}")
        seen[trial.fault.service, trial.fault.kind.value, not trial.complaint] += 1
    _say("\nservice       fault    the same  not")
    for service, kind in sorted({(service, kind) for service, kind, _ in seen}):
        good, bad = seen[service, kind, True], seen[service, kind, False]
        _say(f"{service:13} {kind:8} {good:8d} {bad:4d}")
    return int(any(not good for _, _, good in seen))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
