"""Imported models find on real frames what SLEAP found with them."""

import numpy as np
import pytest
import sleap_io

from shoal_core.class_grouping import ClassGrouping, group_class_parts
from shoal_core.coordinates import instance_centroids
from shoal_core.grouping import group_parts
from tests.unit.serving.graphs.running import read_gray_frames

PARTS = [(0, "val"), (1, "train")]


def labels_of(shared_data, model, name):
    path = shared_data / "models" / model / f"{name}.slp"
    (frame,) = sleap_io.load_slp(str(path), open_videos=False)
    return np.stack([instance.numpy() for instance in frame.instances]).astype(np.float32), [
        getattr(instance, "score", None) for instance in frame.instances
    ]


@pytest.fixture(scope="module")
def frames(shared_data):
    return read_gray_frames(shared_data / "pair" / "centered_pair_low_quality.mp4", [0, 1])


def sort_by_x(points_IN2):
    return points_IN2[np.argsort(points_IN2[:, 0, 0])]


@pytest.mark.parametrize(("index", "part"), PARTS)
def test_bottomup_nodes_and_scores_are_those_of_sleap(
    shared_data, served_models, frames, index, part
):
    expected, scores = labels_of(shared_data, "minimal_instance.UNet.bottomup", f"labels_pr.{part}")
    model = served_models["bottomup"]
    made = model.run(images=frames[index : index + 1])
    poses = group_parts(
        made["peaks"][0],
        made["peak_values"][0],
        made["edge_scores"][0],
        skeleton=model.contract.skeleton,
        frame_size_px=(384, 384),
    )
    assert poses.instance_count == 2
    distance = np.abs(sort_by_x(poses.points_px_IN2) - sort_by_x(expected))
    assert distance.max() < 0.01
    np.testing.assert_allclose(sorted(poses.instance_scores_I), sorted(scores), atol=1e-4)


@pytest.mark.parametrize(("index", "part"), PARTS)
def test_centered_instance_nodes_are_those_of_sleap_without_its_shift(
    shared_data, served_models, frames, index, part
):
    """SLEAP maps back with centroid − side / 2 what it cut at centroid − (side − 1) / 2."""
    name = "minimal_instance.UNet.centered_instance"
    truth, _ = labels_of(shared_data, name, f"labels_gt.{part}")
    expected, _ = labels_of(shared_data, name, f"labels_pr.{part}")
    centroids = instance_centroids(truth)[None]
    made = served_models["centered_instance"].run(
        images=frames[index : index + 1], centroids=centroids
    )
    assert made["instance_counts"].tolist() == [2]
    shift = made["instance_peaks"][0] - expected
    assert np.abs(shift - 0.5).max() < 0.05
    assert np.abs(shift.mean(axis=(0, 1)) - 0.5).max() < 0.02


def test_centered_instances_of_the_training_frame_lie_on_its_labels(
    shared_data, served_models, frames
):
    truth, _ = labels_of(shared_data, "minimal_instance.UNet.centered_instance", "labels_gt.train")
    made = served_models["centered_instance"].run(
        images=frames[1:], centroids=instance_centroids(truth)[None]
    )
    assert np.abs(made["instance_peaks"][0] - truth).max() < 0.05


def test_topdown_finds_the_animals_of_the_training_frame(shared_data, served_models, frames):
    truth, _ = labels_of(shared_data, "minimal_instance.UNet.centered_instance", "labels_gt.train")
    made = served_models["topdown"].run(images=frames[1:])
    assert made["instance_counts"].tolist() == [2]
    found = made["instance_peaks"][0, :2]
    assert np.abs(sort_by_x(found) - sort_by_x(truth)).max() < 0.1


def test_identities_are_those_of_sleap(shared_data, served_models):
    folder = shared_data / "flies_clip"
    indices = list(range(0, 1500, 150))
    predicted = {
        frame.frame_idx: frame
        for frame in sleap_io.load_slp(str(folder / "clip.predictions.slp"), open_videos=False)
    }
    images = read_gray_frames(folder / "clip.mp4", indices)
    model = served_models["multiclass_bottomup"]
    differences = []
    for start in range(0, len(indices), 2):
        made = model.run(images=images[start : start + 2])
        for offset in range(2):
            poses = group_class_parts(
                made["peaks"][offset],
                made["peak_values"][offset],
                made["class_probabilities"][offset],
                grouping=ClassGrouping(only_best_class=True),
            )
            for instance in predicted[indices[start + offset]].instances:
                (row,) = np.flatnonzero(
                    poses.track_indices_I == model.contract.classes.index(instance.track.name)
                )
                differences.append(poses.points_px_IN2[row] - instance.numpy())
    differences = np.concatenate(differences)
    assert np.nanmedian(np.linalg.norm(differences, axis=1)) < 1
    # SLEAP adds half a pixel to results of scaled input, which its training does not.
    np.testing.assert_allclose(np.nanmedian(differences, axis=0), -0.5, atol=0.05)
