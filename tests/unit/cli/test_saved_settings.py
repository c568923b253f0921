"""One document for all videos of a command gives each of its results again."""

from pathlib import Path

import pytest

from shoal_cli.saved_settings import saved_settings
from shoal_cli.track_settings import TrackSettings

JOB = {
    "models": ["models/m/versions/1"],
    "model_content_hash": "beef",
    "frames": "0-9",
    "inference": {"batch_size": 16},
    "tracker": {"method": "none"},
    "centroids": None,
}


@pytest.mark.parametrize("count", [1, 3])
def test_what_jobs_agree_on_is_saved_as_they_have_resolved_it(count: int) -> None:
    asked = TrackSettings(models=("m",), only="labeled", labels="l.slp")
    saved = saved_settings([JOB] * count, asked)
    assert saved.models == ("models/m/versions/1",)
    assert saved.model_content_hash == "beef"
    assert (saved.frames, saved.only, saved.labels) == ("0-9", None, None)
    assert saved.inference.batch_size == 16


def test_frames_that_differ_are_saved_as_the_command_has_said_them() -> None:
    jobs = [JOB, {**JOB, "frames": "3,5"}]
    asked = TrackSettings(models=("m",), only="suggested", labels="l.slp")
    saved = saved_settings(jobs, asked)
    assert (saved.frames, saved.only) == (None, "suggested")
    assert saved.labels == str(Path("l.slp").absolute())
    assert saved.models == ("models/m/versions/1",)
    assert saved_settings(jobs, TrackSettings(models=("m",))).labels is None


def test_centroids_that_differ_are_saved_as_the_file_that_has_them() -> None:
    jobs = [{**JOB, "centroids": f"projects/p/labelSets/{index}"} for index in range(2)]
    asked = TrackSettings(models=("m",), centroids="c.slp")
    assert saved_settings(jobs, asked).centroids == str(Path("c.slp").absolute())
    assert saved_settings(jobs[:1], asked).centroids == "projects/p/labelSets/0"
