"""What configurations of all SLEAP versions say is read as its training understood it."""

import json

import pytest

from shoal_serving.importing.keras_config import read_keras_config

CENTERED = "minimal_instance.UNet.centered_instance"
BOTTOMUP = "minimal_instance.UNet.bottomup"
CENTROID = "minimal_instance.UNet.centroid"


@pytest.fixture
def changed(shared_data, tmp_path):
    """Reads a real configuration after a change."""

    def read(model, change):
        source = shared_data / "models" / model / "training_config.json"
        config = json.loads(source.read_text())
        change(config)
        (tmp_path / "training_config.json").write_text(json.dumps(config))
        return read_keras_config(tmp_path)

    return read


@pytest.mark.parametrize("skeletons", [None, []])
def test_without_a_skeleton_the_head_names_the_nodes(changed, skeletons):
    config = changed(BOTTOMUP, lambda config: config["data"]["labels"].update(skeletons=skeletons))
    assert (config.skeleton.nodes, config.skeleton.edges) == (("A", "B"), ((0, 1),))
    config = changed(CENTERED, lambda config: config["data"]["labels"].update(skeletons=skeletons))
    assert (config.skeleton.nodes, config.skeleton.edges) == (("A", "B"), ())


def test_links_of_nodes_that_the_head_does_not_have_are_left_out(changed):
    def change(config):
        config["model"]["heads"]["centered_instance"]["part_names"] = ["B"]

    skeleton = changed(CENTERED, change).skeleton
    assert (skeleton.nodes, skeleton.edges) == (("B",), ())


@pytest.mark.parametrize(
    ("center_on_part", "anchor_part", "expected"),
    [(None, None, None), ("B", None, "B"), (None, "A", "A"), ("B", "A", "B")],
)
@pytest.mark.parametrize(
    ("model", "head"), [(CENTERED, "centered_instance"), (CENTROID, "centroid")]
)
def test_the_part_that_training_centred_on_is_the_anchor(
    changed, model, head, center_on_part, anchor_part, expected
):
    def change(config):
        config["data"]["instance_cropping"]["center_on_part"] = center_on_part
        config["model"]["heads"][head]["anchor_part"] = anchor_part

    config = changed(model, change)
    assert config.anchor_part == expected
    if head == "centroid":
        assert config.skeleton.nodes == (expected or "centroid",)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"resize_and_pad_to_target": True, "target_height": 480, "target_width": 640}, (480, 640)),
        ({"resize_and_pad_to_target": False, "target_height": 480, "target_width": 640}, None),
        ({"resize_and_pad_to_target": True, "target_height": None, "target_width": None}, None),
        ({"target_height": 480, "target_width": 640}, None),
    ],
)
def test_the_size_of_trainings_frames(changed, fields, expected):
    config = changed(BOTTOMUP, lambda config: config["data"]["preprocessing"].update(fields))
    assert config.target_size_px == expected
