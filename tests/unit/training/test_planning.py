"""What a request to train amounts to: stages, configurations, figures, refusals."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sleap_io as sio

from shoal_core.errors import InvalidArgument
from shoal_media.writers import VideoWriter
from shoal_training.config_file import from_values
from shoal_training.planning import PlanRequest, plan

FRAME_COUNT = 6
ANIMAL_PX_N2 = np.array([[10.0, 12.0], [24.0, 12.0]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video with labels of one animal, and with labels of two."""
    folder = tmp_path_factory.mktemp("labels")
    with VideoWriter(folder / "video.mp4", fps=25) as writer:
        for _ in range(FRAME_COUNT):
            writer.write(np.full((64, 96, 1), 90, np.uint8))
    for count, name in ((1, "one.slp"), (2, "two.slp")):
        write_labels(folder / name, folder / "video.mp4", count)
    return folder


def write_labels(path: Path, video: Path, animal_count: int) -> None:
    skeleton = sio.Skeleton(["head", "tail"], edges=[("head", "tail")])
    tracks = [sio.Track(f"animal {index}") for index in range(animal_count)]
    source = sio.Video(filename=str(video), open_backend=False)
    frames = []
    for index in range(FRAME_COUNT):
        instances = [
            sio.Instance.from_numpy(
                ANIMAL_PX_N2 + np.array([40 * animal, 3 * index]),
                skeleton=skeleton,
                track=track,
            )
            for animal, track in enumerate(tracks)
        ]
        frames.append(sio.LabeledFrame(video=source, frame_idx=index, instances=instances))
    sio.save_slp(sio.Labels(frames, tracks=tracks), str(path), embed=False, verbose=False)


def planned(folder: Path, labels: str = "two.slp", **more: Any) -> dict[str, Any]:
    request = PlanRequest(labels=[str(folder / labels)], recipe="sleap", **more)
    return plan(request)


def kinds(answer: dict[str, Any]) -> dict[str, str]:
    return {stage["id"]: stage["configuration"]["kind"] for stage in answer["stages"]}


def test_the_kind_follows_from_the_labels(folder: Path) -> None:
    assert kinds(planned(folder, "one.slp")) == {"single_instance": "single_instance"}
    assert kinds(planned(folder, "two.slp")) == {
        "centroid": "centroid",
        "centered_instance": "centered_instance",
    }


@pytest.mark.parametrize(
    ("kind", "stages"),
    [
        ("bottomup", {"bottomup": "bottomup"}),
        (
            "topdown-id",
            {"centroid": "centroid", "centered_instance": "multiclass_centered_instance"},
        ),
        ("bottomup-id", {"bottomup": "multiclass_bottomup"}),
    ],
)
def test_a_kind_that_is_asked_for_is_planned(
    folder: Path, kind: str, stages: dict[str, str]
) -> None:
    assert kinds(planned(folder, kind=kind)) == stages


def test_configurations_are_whole_and_say_nothing_of_where_labels_lie(folder: Path) -> None:
    for stage in planned(folder)["stages"]:
        assert stage["configuration"]["data"]["labels"] == []
        labelled = stage["configuration"] | {
            "data": stage["configuration"]["data"] | {"labels": ["l.slp"]}
        }
        assert from_values(labelled).kind == stage["configuration"]["kind"]
        assert str(folder) not in json.dumps(stage)


def test_settings_reach_all_stages_or_the_one_that_they_name(folder: Path) -> None:
    answer = planned(folder, settings=["run.seed=3", "centroid:optimization.epochs=7"])
    first, second = (stage["configuration"] for stage in answer["stages"])
    assert (first["run"]["seed"], second["run"]["seed"]) == (3, 3)
    assert first["optimization"]["epochs"] == 7
    assert second["optimization"]["epochs"] != 7


def test_a_time_budget_is_that_of_all_stages_together(folder: Path) -> None:
    answer = planned(folder, time_budget_s=100.0)
    budgets = [s["configuration"]["optimization"]["time_budget_s"] for s in answer["stages"]]
    assert sum(budgets) == pytest.approx(100)
    (only,) = planned(folder, "one.slp", time_budget_s=100.0)["stages"]
    assert only["configuration"]["optimization"]["time_budget_s"] == 100


@pytest.mark.parametrize(
    ("settings", "named"),
    [(["run.sed=1"], "sed"), (["centre:run.seed=1"], "centre"), (["run.seed"], "run.seed")],
)
def test_a_setting_that_means_nothing_is_named(
    folder: Path, settings: list[str], named: str
) -> None:
    with pytest.raises(InvalidArgument, match=named):
        planned(folder, settings=settings)


def test_a_description_tells_frames_crop_network_and_costs(folder: Path) -> None:
    settings = ["optimization.epochs=2", "network.filters=4", "network.max_stride=8"]
    centroid, crops = planned(folder, describe=True, settings=settings)["stages"]
    assert centroid["description"]["crop_size_px"] is None
    figures = crops["description"]
    assert figures["training_frames"] + figures["validation_frames"] == FRAME_COUNT
    assert figures["animals"] == 2 * FRAME_COUNT
    assert figures["crop_size_px"] == crops["configuration"]["data"]["crop_size_px"]
    assert figures["animal_size_px"] == 14
    assert figures["steps"] == 2 * crops["configuration"]["optimization"]["min_batches_per_epoch"]
    assert min(figures[name] for name in ("parameters", "flops_per_image", "memory_bytes")) > 1000
    assert figures["estimated_time_s"] > 0


def test_the_program_answers_in_json_also_when_it_refuses(folder: Path, tmp_path: Path) -> None:
    request = PlanRequest(labels=[str(tmp_path / "gone.slp")], import_folder=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "shoal_training.planning"],
        input=json.dumps(asdict(request)),
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert answer["error"]["reason"] == "LABELS_NOT_FOUND"
    assert "gone.slp" in answer["error"]["message"]


def test_labels_of_other_programs_become_the_same_file_every_time(
    shared_data: Path, tmp_path: Path
) -> None:
    request = PlanRequest(
        labels=[str(shared_data / "dlc_openfield")],
        recipe="sleap",
        import_folder=str(tmp_path / "imported"),
    )
    first, second = plan(request), plan(request)
    assert first["labels"] == second["labels"]
    assert [path.name for path in (tmp_path / "imported").iterdir()] == [
        Path(first["labels"][0]).name
    ]
    assert first["labelled_frame_count"] == 116
