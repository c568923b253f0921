"""Model folders of Shoal's own training become served models that find what training found."""

import numpy as np
import pytest

from shoal_common.inference.contract import PoseContract
from shoal_common.inference.outputs import poses_of
from shoal_common.inference.settings import InferenceSettings
from shoal_serving.importing import import_model
from shoal_serving.imports import source_hash
from tests.fakes import shoal_models
from tests.fakes.shoal_models import HEADS_PX, KIND_HEADS, TAIL_PX, write_model
from tests.unit.serving.graphs.running import ServedModel


def imported(tmp_path, *folders) -> ServedModel:
    import_model(folders, tmp_path / "v1")
    return ServedModel(tmp_path / "v1")


def poses(model: ServedModel, outputs):
    count = len(HEADS_PX)
    found = poses_of(model.contract, outputs, range(count), (160, 160), InferenceSettings())
    return [frame.points_px_IN2[np.argsort(frame.points_px_IN2[:, 0, 1])] for frame in found]


def request(kind):
    arrays = shoal_models.parity(kind)
    asked = {"images": arrays["images"]}
    if "centroids_px" in arrays:
        asked["centroids"] = arrays["centroids_px"]
    return asked


@pytest.mark.parametrize("kind", KIND_HEADS)
def test_every_kind_finds_what_was_drawn_as_chain_and_as_one_graph(tmp_path, kind):
    model = imported(tmp_path, write_model(tmp_path / "model", kind))
    assert model.contract.kind == kind
    assert model.contract.source == "shoal 0.1.0 (arithmetic)"
    for outputs in (model.run(**request(kind)), model.run_composed(**request(kind))):
        for found, drawn in zip(
            poses(model, outputs), shoal_models.parity(kind)["points_px"], strict=True
        ):
            np.testing.assert_allclose(found, drawn, atol=0.1)


@pytest.mark.parametrize("kind", KIND_HEADS)
def test_the_report_of_parity_is_in_the_contract(tmp_path, kind):
    contract = imported(tmp_path, write_model(tmp_path / "model", kind)).contract
    (stage,) = PoseContract.from_json(contract.to_json()).stages
    points = shoal_models.parity(kind)["points_px"]
    assert stage.parity is not None
    assert stage.parity.frame_count == 2
    assert stage.parity.instance_count == points.shape[0] * points.shape[1]
    assert stage.parity.node_count == points[..., 0].size
    assert stage.parity.median_px <= stage.parity.p99_px < 0.1


@pytest.mark.parametrize("second", ["centered_instance", "multiclass_centered_instance"])
@pytest.mark.parametrize("layout", ["two folders", "one folder", "two runs", "one folder of runs"])
def test_both_stages_become_one_model_wherever_they_lie(tmp_path, second, layout):
    inner = "model" if "runs" in layout else ""
    for kind in ("centroid", second):
        write_model(tmp_path / "run" / kind / inner, kind)
    one = [tmp_path / "run"]
    two = [tmp_path / "run" / second, tmp_path / "run" / "centroid"]
    model = imported(tmp_path, *(one if "one" in layout else two))
    assert model.contract.kind == second.replace("centered_instance", "topdown")
    for found, heads in zip(
        poses(model, model.run(images=shoal_models.images())), HEADS_PX, strict=True
    ):
        np.testing.assert_allclose(found, np.stack([heads, heads + TAIL_PX], 1), atol=0.1)


def test_a_model_may_be_named_by_its_run_folder(tmp_path):
    write_model(tmp_path / "run" / "model", "centroid")
    assert imported(tmp_path, tmp_path / "run").contract.kind == "centroid"


def test_a_crop_without_any_node_is_no_instance(tmp_path):
    folder = write_model(tmp_path / "model", "centered_instance")
    arrays = shoal_models.parity("centered_instance")
    nowhere = np.full((2, 1, 2), 150, np.float32)
    centroids = np.concatenate([nowhere, arrays["centroids_px"]], axis=1)
    np.savez(folder / "parity.npz", **{**arrays, "centroids_px": centroids})
    (stage,) = imported(tmp_path, folder).contract.stages
    assert stage.parity.instance_count == 4


def test_learned_offsets_move_the_nodes(tmp_path):
    folder = write_model(
        tmp_path / "model", "centered_instance", more_heads=["OffsetRefinementHead"]
    )
    arrays = shoal_models.parity("centered_instance")
    # In map pixels of stride 2.
    drawn = arrays["points_px"] + np.array([[0.5, 1], [-0.5, 0]], np.float32)
    np.savez(folder / "parity.npz", **{**arrays, "points_px": drawn})
    model = imported(tmp_path, folder)
    assert model.contract.stages[0].refinement == "offsets"
    found = poses(model, model.run(**request("centered_instance")))
    np.testing.assert_allclose(found, drawn, atol=0.01)


def test_the_model_says_which_threshold_peaks_must_exceed(tmp_path):
    folder = write_model(tmp_path / "model", "bottomup", peak_threshold=0.35)
    assert imported(tmp_path, folder).contract.peak_threshold == 0.35


def test_each_of_two_stages_says_which_threshold_its_peaks_must_exceed(tmp_path):
    centroid = write_model(tmp_path / "centroid", "centroid", peak_threshold=0.3)
    second = write_model(tmp_path / "second", "centered_instance", peak_threshold=0.0)
    contract = imported(tmp_path, centroid, second).contract
    assert (contract.peak_threshold, contract.crop_peak_threshold) == (0.3, 0.0)


def test_the_threshold_of_crops_counts_for_nodes_and_not_for_centroids(tmp_path):
    folders = [
        write_model(tmp_path / kind, kind, peak_threshold=0.0)
        for kind in ("centroid", "centered_instance")
    ]
    model = imported(tmp_path, *folders)
    images = shoal_models.images()
    # The tail of every animal is half as high as its head.
    images[..., 2] = 64 + images[..., 2] // 2
    for crop_threshold, node_count in ((0.0, 2), (0.6, 1)):
        outputs = model.run(
            images=images,
            peak_threshold=np.full((2, 1), 0.6, np.float32),
            crop_peak_threshold=np.full((2, 1), crop_threshold, np.float32),
        )
        assert outputs["instance_counts"].tolist() == [2, 2]
        found = np.isfinite(outputs["instance_peaks"][:, :2]).all(axis=3).sum(axis=2)
        assert found.tolist() == [[node_count] * 2] * 2


def test_the_score_of_an_animal_in_a_crop_knows_its_nodes(tmp_path):
    folders = [
        write_model(tmp_path / kind, kind, peak_threshold=0.0)
        for kind in ("centroid", "centered_instance")
    ]
    images = shoal_models.images()
    images[..., 2] = 64 + images[..., 2] // 2  # tails are half as high as heads
    first = imported(tmp_path / "first", folders[0]).run(images=images)
    model = imported(tmp_path, *folders)
    for crop_threshold in (0.0, 0.6):  # with the tail, and without it
        outputs = model.run(
            images=images, crop_peak_threshold=np.full((2, 1), crop_threshold, np.float32)
        )
        of_nodes = outputs["instance_peak_values"][:, :2].mean(axis=2)
        assert ((of_nodes > 0.5) == (crop_threshold == 0)).all()
        expected = first["instance_scores"][:, :2] * of_nodes
        np.testing.assert_allclose(outputs["instance_scores"][:, :2], expected, rtol=1e-5)
        assert (outputs["instance_scores"][:, 2:] == 0).all()


@pytest.mark.parametrize("file", ["shoal_model.json", "network.onnx", "parity.npz"])
@pytest.mark.parametrize("place", ["", "model", "centroid/model"])
def test_every_file_counts_for_what_a_version_was_made_of(tmp_path, file, place):
    folder = write_model(tmp_path / "run" / place, "centroid")
    before = source_hash((tmp_path / "run",))
    (folder / file).write_bytes((folder / file).read_bytes() + b" ")
    assert source_hash((tmp_path / "run",)) != before
