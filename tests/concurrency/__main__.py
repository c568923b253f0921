"""`python -m tests.concurrency`: sessions and jobs together against each of them alone."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.concurrency.ensemble import holding_lines, running_ensemble
from tests.concurrency.together import JOBS, compare

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def main() -> None:
    """Prints what was compared and what each process holds; exits with 1 after a complaint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=16)
    parser.add_argument("--frames", type=int, default=24, help="frames of each session")
    parser.add_argument("--job-frames", type=int, default=96, help="frames of each job")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="shoal-concurrency-") as folder,
        running_ensemble(Path(folder), DATA / "models") as ensemble,
    ):
        report = asyncio.run(
            compare(
                ensemble,
                DATA,
                session_count=arguments.sessions,
                frame_count=arguments.frames,
                job_frame_count=arguments.job_frames,
            )
        )
    lines = [
        f"{arguments.sessions} sessions of {arguments.frames} frames, {len(JOBS)} jobs of "
        f"{arguments.job_frames}: {report.instance_count} instances in the sessions; one after "
        f"the other {report.alone_seconds:.1f} s, together {report.together_seconds:.1f} s",
        *holding_lines(report.before, report.after),
        *(report.complaints or ["every session and job equals itself alone, bit for bit"]),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.exit(bool(report.complaints))


if __name__ == "__main__":
    main()
