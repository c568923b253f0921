"""A whole job with every service in its own environment that holds only its own distribution."""

import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.isolated.environments import make_environment
from tests.processes import running_service, target

SERVICES = ("decode", "engine", "serving", "labels", "orchestrator", "worker")

TRACK = """
import sys
from shoal_client import Shoal, Targets, WindowTracker
targets, model, video, output = dict(arg.split("=", 1) for arg in sys.argv[4:]), *sys.argv[1:4]
with Shoal.connect(Targets(**targets)) as shoal:
    version = shoal.models.import_([model], name="pair")
    job = shoal.jobs.create_track(video, version.name, frames=range(24), tracker=WindowTracker())
    for job in shoal.jobs.watch(job.name):
        pass
    assert job.error is None, job.error
    print(shoal.labels.export([job.result_label_set], output).frame_count)
"""


@pytest.fixture
def pythons(constraints: Path, tmp_path: Path) -> dict[str, Path]:
    return {
        name: make_environment(tmp_path / "environments" / name, constraints, f"shoal-{name}")
        for name in (*SERVICES, "client")
    }


def test_a_job_runs_across_environments(
    pythons: dict[str, Path], shared_data: Path, tmp_path: Path
) -> None:
    home, output = tmp_path / "home", tmp_path / "tracked.slp"
    with ExitStack() as stack:
        for name in SERVICES:
            stack.enter_context(running_service(pythons[name], name, home, tmp_path))
        completed = subprocess.run(
            [pythons["client"], "-P", "-c", TRACK]
            + [shared_data / "models" / "minimal_instance.UNet.bottomup"]
            + [shared_data / "pair" / "centered_pair_low_quality.mp4", output]
            + [
                f"{name}={target(tmp_path, name)}"
                for name in ("decode", "serving", "labels", "orchestrator")
            ],
            check=True,
            capture_output=True,
            text=True,
        )
    assert int(completed.stdout) > 0
    assert output.stat().st_size > 0
