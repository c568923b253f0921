"""Fixtures of the media tests: one small video of each kind."""

from collections.abc import Callable
from pathlib import Path

import pytest

from .videos import DERIVED, KINDS, derived, encode


@pytest.fixture(scope="session")
def video_of_kind(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Returns the path of a video of the named kind; each is made once."""
    folder = tmp_path_factory.mktemp("videos")

    def make(kind: str) -> Path:
        if kind in KINDS:
            name, codec, pixel_format, options = KINDS[kind]
            path = folder / name
            return path if path.exists() else encode(path, codec, pixel_format, options)
        return derived(kind, folder, make)

    return make


@pytest.fixture(params=[*KINDS, *DERIVED])
def any_video(request: pytest.FixtureRequest, video_of_kind: Callable[[str], Path]) -> Path:
    """One video of each kind."""
    return video_of_kind(request.param)


@pytest.fixture
def plain_video(video_of_kind: Callable[[str], Path]) -> Path:
    """A gray mp4 with B-frames."""
    return video_of_kind("mp4 with B-frames")
