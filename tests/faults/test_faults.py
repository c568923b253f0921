"""A few random faults; `python -m tests.faults` runs as many as one likes."""

from pathlib import Path

import pytest

from tests.faults.campaign import run_campaign
from tests.faults.fault import VICTIMS


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("victim", VICTIMS)
def test_job_beside_a_fault_ends_as_without(shared_data: Path, tmp_path: Path, victim: str) -> None:
    trials = run_campaign(shared_data, tmp_path, count=3, seed=7, victims=[victim])
    assert [trial for trial in trials if trial.complaint] == []
