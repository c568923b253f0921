"""What is checked before anything is started."""

from pathlib import Path

import pytest

from shoal_cli.model_reference import ModelFolders, RegisteredModel, model_reference
from shoal_cli.track_plan import plan_tracking
from shoal_cli.track_settings import TrackSettings
from shoal_client import InferenceParameters, InstanceFilters, PartGrouping
from shoal_core.errors import InvalidArgument, NotFound, ShoalError
from shoal_core.frame_runs import Runs

FLIES = TrackSettings(models=("flies",))


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"not empty")
    return path


def model_folder(parent: Path, name: str, *, weights: bool = True) -> Path:
    folder = parent / name
    folder.mkdir(parents=True)
    (folder / "training_config.json").write_text("{}")
    if weights:
        (folder / "best_model.h5").write_bytes(b"weights")
    return folder


def reason(error: pytest.ExceptionInfo[ShoalError]) -> str:
    return error.value.reason


def test_several_videos_go_into_one_file(video: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(b"x")
    plan = plan_tracking([str(video), str(other)], str(tmp_path / "out.slp"), FLIES)
    assert [output.path for output in plan.outputs] == [tmp_path / "out.slp"]
    assert plan.outputs[0].videos == (video, other)


def test_a_folder_gets_one_file_per_video(video: Path, tmp_path: Path) -> None:
    images = tmp_path / "images.v1"
    images.mkdir()
    plan = plan_tracking([str(video), str(images)], f"{tmp_path}/out/", FLIES)
    names = {output.path.name: output.videos for output in plan.outputs}
    assert names == {"clip.slp": (video,), "images.v1.slp": (images,)}


def test_a_dataset_is_a_video_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "two.h5").write_bytes(b"not empty")
    videos = [f"{tmp_path}/two.h5#left", f"{tmp_path}/two.h5#group/right"]
    plan = plan_tracking(videos, f"{tmp_path}/out/", FLIES)
    assert [str(video) for video in plan.videos] == videos
    assert [output.path.name for output in plan.outputs] == [
        "two.left.slp",
        "two.group.right.slp",
    ]


def test_two_videos_of_one_name_cannot_share_a_folder(video: Path, tmp_path: Path) -> None:
    other = tmp_path / "b" / "clip.avi"
    other.parent.mkdir()
    other.write_bytes(b"x")
    with pytest.raises(InvalidArgument) as caught:
        plan_tracking([str(video), str(other)], f"{tmp_path}/out/", FLIES)
    assert reason(caught) == "OUTPUT_INVALID"


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("missing/out.slp", "FOLDER_NOT_FOUND"),
        ("missing/out/", "FOLDER_NOT_FOUND"),
        ("out.csv", "OUTPUT_INVALID"),
        (".", "OUTPUT_INVALID"),
        ("clip.mp4/", "FOLDER_NOT_FOUND"),
    ],
)
def test_outputs_that_cannot_be_written_are_refused(
    video: Path, tmp_path: Path, output: str, expected: str
) -> None:
    with pytest.raises(ShoalError) as caught:
        plan_tracking([str(video)], f"{tmp_path}/{output}", FLIES)
    assert reason(caught) == expected


def test_an_analysis_file_holds_one_video(video: Path, tmp_path: Path) -> None:
    plan = plan_tracking([str(video)], f"{tmp_path}/out.analysis.h5", FLIES)
    assert [output.path.name for output in plan.outputs] == ["out.analysis.h5"]
    other = tmp_path / "other.mp4"
    other.write_bytes(b"x")
    with pytest.raises(InvalidArgument, match="holds one video") as caught:
        plan_tracking([str(video), str(other)], f"{tmp_path}/out.analysis.h5", FLIES)
    assert reason(caught) == "OUTPUT_INVALID"


@pytest.mark.parametrize(
    ("frames", "runs"),
    [(None, None), ("all", None), ("7", (range(7, 8),)), ("0-3,9", (range(4), range(9, 10)))],
)
def test_frames_are_those_of_the_list(
    video: Path, tmp_path: Path, frames: str | None, runs: Runs | None
) -> None:
    settings = TrackSettings(models=("flies",), frames=frames)
    plan = plan_tracking([str(video)], f"{tmp_path}/o.slp", settings)
    assert plan.frames == {video: runs}


@pytest.mark.parametrize(
    ("inference", "name"),
    [
        (InferenceParameters(batch_size=0), "batch_size"),
        (InferenceParameters(batch_size=2**40), "PARAMETER_INVALID"),
        (InferenceParameters(part_grouping=PartGrouping(n_points=1)), "n_points"),
        (InferenceParameters(filters=InstanceFilters(min_visible_nodes=-1)), "min_visible_nodes"),
    ],
)
def test_parameters_are_checked_before_anything_is_started(
    video: Path, tmp_path: Path, inference: InferenceParameters, name: str
) -> None:
    settings = TrackSettings(models=("flies",), inference=inference)
    with pytest.raises(InvalidArgument) as caught:
        plan_tracking([str(video)], f"{tmp_path}/o.slp", settings)
    assert reason(caught) == "PARAMETER_INVALID"
    assert name in f"{caught.value.message} {caught.value.reason}"
    assert "\n" not in caught.value.message


def test_a_label_set_of_centroids_is_of_one_video(video: Path, tmp_path: Path) -> None:
    name = "projects/default/labelSets/import-1-0"
    settings = TrackSettings(models=("flies",), centroids=name)
    assert plan_tracking([str(video)], f"{tmp_path}/o.slp", settings).centroids == name
    other = tmp_path / "other.mp4"
    other.write_bytes(b"x")
    with pytest.raises(InvalidArgument, match="one video"):
        plan_tracking([str(video), str(other)], f"{tmp_path}/o.slp", settings)


def test_settings_are_not_written_over_what_is_read(video: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="choose another output"):
        plan_tracking([str(video)], f"{tmp_path}/o.slp", FLIES, save_config=video)
    with pytest.raises(NotFound, match="no folder"):
        plan_tracking([str(video)], f"{tmp_path}/o.slp", FLIES, save_config=tmp_path / "a" / "b")


def test_settings_are_not_written_where_the_output_is(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.slp"
    with pytest.raises(InvalidArgument, match="choose another place") as caught:
        plan_tracking([str(video)], str(out), FLIES, save_config=out)
    assert reason(caught) == "OUTPUT_INVALID"


def test_a_missing_video_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"clip\.mp4"):
        plan_tracking([f"{tmp_path}/clip.mp4"], f"{tmp_path}/o.slp", FLIES)


def test_an_empty_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(InvalidArgument, match=r"clip\.mp4 is an empty file"):
        plan_tracking([f"{tmp_path}/clip.mp4"], f"{tmp_path}/o.slp", FLIES)


def test_a_video_given_twice_is_refused(video: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="twice"):
        plan_tracking([str(video), str(video)], f"{tmp_path}/o.slp", FLIES)


def test_a_video_that_is_read_is_not_overwritten(tmp_path: Path) -> None:
    package, link = tmp_path / "embedded.pkg.slp", tmp_path / "out.slp"
    package.write_bytes(b"frames")
    link.symlink_to(package)
    for output in (package, link):
        with pytest.raises(InvalidArgument, match="choose another output"):
            plan_tracking([str(package)], str(output), FLIES)


def test_labels_that_are_read_are_not_overwritten(video: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.slp"
    labels.touch()
    settings = TrackSettings(models=("flies",), centroids=str(labels))
    with pytest.raises(InvalidArgument, match="choose another output"):
        plan_tracking([str(video)], str(labels), settings)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("flies", "models/flies"),
        ("flies@prod", "models/flies/aliases/prod"),
        ("models/flies/versions/3", "models/flies/versions/3"),
    ],
)
def test_names_are_those_of_the_registry(
    value: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert model_reference([value]) == RegisteredModel(name)


def test_a_folder_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = model_folder(tmp_path, "flies")
    assert model_reference(["flies"]) == ModelFolders((folder,), "auto.flies")


def test_a_folder_of_both_stages_is_one_model(tmp_path: Path) -> None:
    stages = [model_folder(tmp_path / "flies", name) for name in ("centroid", "instance")]
    assert model_reference([str(tmp_path / "flies")]) == ModelFolders(tuple(stages), "auto.flies")


def shoal_run(folder: Path, *stages: str) -> list[Path]:
    """Training runs of Shoal in one folder, or one run that is the folder."""
    models = [folder / stage / "model" for stage in stages or ("",)]
    for model in models:
        model.mkdir(parents=True)
        for file in ("shoal_model.json", "network.onnx", "parity.npz"):
            (model / file).touch()
    return models


def test_a_training_run_is_its_model(tmp_path: Path) -> None:
    (model,) = shoal_run(tmp_path / "flies")
    assert model_reference([str(tmp_path / "flies")]) == ModelFolders((model,), "auto.flies")
    assert model_reference([str(model)]) == ModelFolders((model,), "auto.model")


def test_a_folder_of_both_stages_runs_is_one_model(tmp_path: Path) -> None:
    models = shoal_run(tmp_path / "flies", "centered_instance", "centroid")
    assert model_reference([str(tmp_path / "flies")]) == ModelFolders(tuple(models), "auto.flies")


def test_two_stages_have_the_same_name_in_either_order(tmp_path: Path) -> None:
    one, two = (str(model_folder(tmp_path, name)) for name in ("centroid", "instance"))
    first, second = model_reference([one, two]), model_reference([two, one])
    assert isinstance(first, ModelFolders)
    assert isinstance(second, ModelFolders)
    assert first.name == second.name == "auto.centroid-instance"


def test_a_name_that_cannot_be_registered_is_made_registrable(tmp_path: Path) -> None:
    reference = model_reference([str(model_folder(tmp_path, "my flies (2) " + "x" * 99))])
    assert isinstance(reference, ModelFolders)
    assert reference.name.startswith("auto.my-flies-2-")
    assert len(reference.name) == 63


def test_a_missing_file_of_a_model_is_named(tmp_path: Path) -> None:
    folder = model_folder(tmp_path, "flies", weights=False)
    with pytest.raises(InvalidArgument, match=r"flies has no best_model\.h5") as caught:
        model_reference([str(folder)])
    assert reason(caught) == "MODEL_FILE_MISSING"


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidArgument, match=r"neither shoal_model\.json nor training_config\.json"
    ):
        model_reference([str(tmp_path)])


def test_a_folder_of_many_models_is_refused(tmp_path: Path) -> None:
    for name in "abc":
        model_folder(tmp_path, name)
    with pytest.raises(InvalidArgument, match="holds 3 models"):
        model_reference([str(tmp_path)])


@pytest.mark.parametrize("values", [[], ["a", "b", "c"]])
def test_a_model_has_one_or_two_stages(values: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        model_reference(values)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        model_reference([str(tmp_path / "nowhere")])


@pytest.mark.parametrize("value", ["fl ies", "flies@", "@prod", "ünter"])
def test_what_is_neither_folder_nor_name_is_refused(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgument):
        model_reference([value])
