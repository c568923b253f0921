import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from shoal_core.errors import DataLoss, InvalidArgument, NotFound
from shoal_media.labels_import import import_labels
from shoal_training.config import DataConfig, HeadsConfig, ModelKind, TrainingConfig
from shoal_training.label_checks import checked_labels
from shoal_training.labelled_set import NO_CLASS, LabelledSet, read_labelled_set
from tests.fakes.labelled_folder import DOT_LEVEL, animal, dotted, write_labels

INFINITE = np.array([(np.inf, 3.0), (20.0, 20.0), (np.nan, np.nan)])
FAR_OUT = np.array([(-9.0, 20.0), (20.0, 20.0), (28.0, 22.0)])


def config(kind: ModelKind, *classes: str) -> TrainingConfig:
    heads = HeadsConfig(classes=classes)
    return TrainingConfig(kind=kind, data=DataConfig(labels=("a.slp",)), heads=heads)


def checked(labelled: LabelledSet, kind: ModelKind, *classes: str) -> LabelledSet:
    with labelled:
        return checked_labels(labelled, config(kind, *classes))


def test_labels_lie_on_the_pixels_they_name(tmp_path: Path) -> None:
    path = write_labels(tmp_path, {0: [animal(20, 20)], 3: [animal(30, 40), animal(60, 20)]})
    with read_labelled_set([path]) as labelled:
        assert labelled.channels == 1
        assert [frame.frame_index for frame in labelled.frames] == [0, 3]
        for frame in labelled.frames:
            image = labelled.image(frame)
            for x, y in frame.points_px_IN2.reshape(-1, 2).astype(int):
                assert image[y, x, 0] == DOT_LEVEL


def test_images_have_the_channels_that_are_asked_for(tmp_path: Path) -> None:
    path = write_labels(tmp_path, {0: [animal(20, 20)]})
    with read_labelled_set([path], channels=3) as labelled:
        assert labelled.image(labelled.frames[0]).shape == (64, 80, 3)


def test_a_video_is_found_beside_its_labels_whatever_path_they_have(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "elsewhere", {0: [animal(20, 20)]})
    with read_labelled_set([path]) as labelled:
        assert labelled.videos[0].path == tmp_path / "elsewhere" / "video"


def test_a_frame_is_the_image_that_the_labels_name(tmp_path: Path) -> None:
    path = write_labels(tmp_path, {0: [animal(20, 20)], 1: [animal(30, 30)]})
    (tmp_path / "video" / "img0000b.png").write_bytes(
        (tmp_path / "video" / "img0000.png").read_bytes()
    )
    with read_labelled_set([path]) as labelled:
        x, y = labelled.frames[1].points_px_IN2[0, 1].astype(int)
        assert labelled.image(labelled.frames[1])[y, x, 0] == DOT_LEVEL


def test_labels_without_images_are_refused_with_the_cure(tmp_path: Path) -> None:
    path = write_labels(tmp_path, {0: [animal(20, 20)]})
    (tmp_path / "video").rename(tmp_path / "gone")
    with pytest.raises(NotFound, match=r"copy video into .* or save the labels with embedded"):
        read_labelled_set([path])


def test_an_image_that_is_labelled_and_gone_is_named(tmp_path: Path) -> None:
    path = write_labels(tmp_path, {0: [animal(20, 20)], 1: [animal(20, 20)]})
    (tmp_path / "video" / "img0001.png").unlink()
    with pytest.raises(NotFound, match=r"img0001"):
        read_labelled_set([path])


def test_a_damaged_image_is_told_when_it_is_read(tmp_path: Path) -> None:
    path = write_labels(tmp_path, {0: [animal(20, 20)], 1: [animal(20, 20)]})
    with read_labelled_set([path]) as labelled:
        (tmp_path / "video" / "img0001.png").write_bytes(b"\x89PNG and no more")
        with pytest.raises(DataLoss):
            labelled.image(labelled.frames[1])


@pytest.mark.parametrize("content", [b"", b"no labels at all"])
def test_an_unreadable_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.slp").write_bytes(content)
    with pytest.raises(InvalidArgument) as caught:
        read_labelled_set([tmp_path / "a.slp"])
    assert caught.value.reason == "LABELS_UNREADABLE"


def test_labels_without_an_animal_are_refused(tmp_path: Path) -> None:
    path = write_labels(tmp_path, {0: []})
    with pytest.raises(InvalidArgument) as caught:
        read_labelled_set([path])
    assert caught.value.reason == "LABELS_EMPTY"


def test_instances_of_a_model_are_used_with_a_warning_where_there_are_no_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_labels(tmp_path, {0: [animal(20, 20)]}, predicted=True)
    with caplog.at_level(logging.WARNING):
        assert len(read_labelled_set([path]).frames) == 1
    assert "made by people" in caplog.text


def test_coordinates_that_are_no_numbers_are_nodes_that_nobody_sees(tmp_path: Path) -> None:
    path = write_labels(tmp_path, {0: [INFINITE]})
    points_N2 = read_labelled_set([path]).frames[0].points_px_IN2[0]
    assert np.isnan(points_N2[[0, 2]]).all()
    assert points_N2[1].tolist() == [20, 20]


def test_files_are_joined_by_the_names_of_nodes_and_tracks(tmp_path: Path) -> None:
    first = write_labels(tmp_path, {0: [animal(20, 20)]}, tracks=("male",))
    second = write_labels(
        tmp_path, {0: [animal(30, 30)]}, tracks=("female",), name="b.slp", video="other"
    )
    labelled = read_labelled_set([first, second])
    assert labelled.classes == ("male", "female")
    assert [frame.class_indices_I.tolist() for frame in labelled.frames] == [[0], [1]]
    assert [frame.file_index for frame in labelled.frames] == [0, 1]


def test_classes_are_the_tracks_that_are_named(tmp_path: Path) -> None:
    path = write_labels(tmp_path, {0: [animal(20, 20), animal(50, 40)]}, tracks=("a", "b"))
    labelled = read_labelled_set([path], classes=["b"])
    assert labelled.frames[0].class_indices_I.tolist() == [NO_CLASS, 0]
    with pytest.raises(InvalidArgument, match="its tracks are a, b"):
        read_labelled_set([path], classes=["c"])


def test_points_outside_of_the_image_are_not_visible(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_labels(tmp_path, {0: [FAR_OUT], 1: [animal(200, 20)]})
    with caplog.at_level(logging.WARNING):
        labelled = checked(read_labelled_set([path]), "centroid")
    assert "4 labelled points lie outside" in caplog.text
    assert len(labelled.frames) == 1
    assert np.isnan(labelled.frames[0].points_px_IN2[0, 0]).all()


def test_a_node_that_is_never_labelled_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_labels(tmp_path, {0: [INFINITE], 1: [INFINITE]})
    with caplog.at_level(logging.WARNING):
        checked(read_labelled_set([path]), "centroid")
    assert "Node head is never labelled" in caplog.text
    assert "Node tail is never labelled" in caplog.text
    assert "thorax" not in caplog.text


def test_a_single_labelled_frame_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_labels(tmp_path, {0: [animal(20, 20)]})
    with caplog.at_level(logging.WARNING):
        checked(read_labelled_set([path]), "centroid")
    assert "only labelled frame" in caplog.text


@pytest.mark.parametrize(
    ("kind", "tracks", "classes", "reason"),
    [
        ("single_instance", (), (), "ANIMALS_SEVERAL"),
        ("multiclass_bottomup", (), (), "TRACKS_MISSING"),
        ("multiclass_bottomup", ("a", "b", "c"), ("a", "c"), "CLASS_EMPTY"),
    ],
)
def test_labels_that_a_kind_cannot_learn_from_are_refused(
    tmp_path: Path,
    kind: ModelKind,
    tracks: tuple[str, ...],
    classes: tuple[str, ...],
    reason: str,
) -> None:
    path = write_labels(tmp_path, {0: [animal(20, 20), animal(50, 40)]}, tracks=tracks)
    with pytest.raises(InvalidArgument) as caught:
        checked(read_labelled_set([path], classes=classes), kind, *classes)
    assert caught.value.reason == reason


def test_bottom_up_models_need_edges(tmp_path: Path) -> None:
    path = write_labels(tmp_path, {0: [animal(20, 20)]}, edges=())
    with pytest.raises(InvalidArgument) as caught:
        checked(read_labelled_set([path]), "bottomup")
    assert caught.value.reason == "SKELETON_WITHOUT_EDGES"


def test_tracks_that_no_animal_has_are_no_classes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_labels(tmp_path, {0: [animal(20, 20)], 1: []}, tracks=("a", "b"))
    with caplog.at_level(logging.WARNING):
        labelled = checked(read_labelled_set([path]), "multiclass_bottomup")
    assert labelled.classes == ("a",)
    assert "track b" in caplog.text


def test_animals_without_a_track_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_labels(tmp_path, {0: [animal(20, 20), animal(50, 40)]}, tracks=("a",))
    with caplog.at_level(logging.WARNING):
        checked(read_labelled_set([path]), "multiclass_bottomup")
    assert "1 of 2 labelled animals have no track" in caplog.text


def test_a_project_of_deeplabcut_becomes_labels_on_its_pixels(tmp_path: Path) -> None:
    folder = tmp_path / "labeled-data" / "mouse"
    folder.mkdir(parents=True)
    lines = ["scorer" + ",me" * 4, "bodyparts,snout,snout,tail,tail", "coords,x,y,x,y"]
    for row, number in enumerate((2, 5, 9)):  # DeepLabCut labels some frames of a video
        points = np.array([(10.0 + row, 12.0), (30.0, 22.0 + row)])
        image = dotted((64, 80), [points], seed=row)
        cv2.imwrite(str(folder / f"img{number:04d}.png"), image)
        numbers = ",".join(str(each) for each in points.ravel())
        lines.append(f"labeled-data/mouse/img{number:04d}.png,{numbers}")
    (folder / "CollectedData_me.csv").write_text("\n".join(lines) + "\n")
    import_labels(folder / "CollectedData_me.h5", tmp_path / "mouse.slp")
    with read_labelled_set([tmp_path / "mouse.slp"]) as labelled:
        assert set(labelled.skeleton.nodes) == {"snout", "tail"}
        assert len(labelled.frames) == 3
        for frame in labelled.frames:
            for x, y in frame.points_px_IN2[0].astype(int):
                assert labelled.image(frame)[y, x, 0] == DOT_LEVEL


@pytest.mark.parametrize("name", ["labels.csv", "labels.json", "labels.txt"])
def test_what_are_no_labels_is_not_imported(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("nothing")
    with pytest.raises(InvalidArgument) as caught:
        import_labels(tmp_path / name, tmp_path / "a.slp")
    assert caught.value.reason == "LABELS_UNREADABLE"


def test_a_coco_file_becomes_labels_on_its_pixels(tmp_path: Path) -> None:
    points = [np.array([(10.0, 12.0), (30.0, 22.0)]), np.array([(50.0, 40.0), (60.0, 50.0)])]
    cv2.imwrite(str(tmp_path / "a.png"), dotted((64, 80), points, seed=0))
    annotations = [
        {
            "id": row + 1,
            "image_id": 1,
            "category_id": 1,
            "keypoints": [number for x, y in animal_points for number in (x, y, 2)],
            "num_keypoints": 2,
            "bbox": [0, 0, 80, 64],
            "area": 1,
            "iscrowd": 0,
        }
        for row, animal_points in enumerate(points)
    ]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 80, "height": 64}],
        "annotations": annotations,
        "categories": [
            {"id": 1, "name": "mouse", "keypoints": ["snout", "tail"], "skeleton": [[1, 2]]}
        ],
    }
    (tmp_path / "coco.json").write_text(json.dumps(content))
    import_labels(tmp_path / "coco.json", tmp_path / "coco.slp")
    with read_labelled_set([tmp_path / "coco.slp"]) as labelled:
        (frame,) = labelled.frames
        assert frame.points_px_IN2.shape == (2, 2, 2)
        for x, y in frame.points_px_IN2.reshape(-1, 2).astype(int):
            assert labelled.image(frame)[y, x, 0] == DOT_LEVEL
