"""Configurations of sleap-nn, of every version: what they say, and which are refused."""

import pytest

from shoal_serving.importing.torch_config import read_torch_config
from tests.unit.serving.importing.torch_copies import change_config, refused


@pytest.mark.parametrize(
    ("version", "is_bgr"),
    [("0.0.1", True), ("0.0.2", False), ("0.0.5", False), ("0.3.5", False), ("", False)],
)
def test_later_versions_see_red_green_blue(torch_copy, version, is_bgr):
    folder = torch_copy("single_instance")
    change_config(folder, lambda config: config.update(sleap_nn_version=version))
    assert read_torch_config(folder).sees_bgr == is_bgr


@pytest.mark.parametrize(
    ("version", "scale", "side"),
    [
        ("0.0.1", 0.5, 192),
        ("0.0.5", 0.7, 138),
        ("0.0.1", 1.0, 96),
        ("0.1.0", 0.5, 96),
        ("0.3.5", 0.5, 96),
        ("", 0.5, 96),
    ],
)
def test_before_version_0_1_crop_size_counts_pixels_of_the_scaled_frame(
    torch_copy, version, scale, side
):
    folder = torch_copy("centered_instance")

    def change(config):
        config["sleap_nn_version"] = version
        config["data_config"]["preprocessing"]["scale"] = scale

    change_config(folder, change)
    assert read_torch_config(folder).crop_size_px == side


def test_the_crop_size_of_version_0_0_1(torch_copy):
    """Its configurations say `crop_hw`, the height and the width."""
    folder = torch_copy("centered_instance")

    def change(config):
        del config["data_config"]["preprocessing"]["crop_size"]
        config["data_config"]["preprocessing"]["crop_hw"] = [160, 160]

    change_config(folder, change)
    assert read_torch_config(folder).crop_size_px == 160


@pytest.mark.parametrize(
    ("height", "width", "target"), [(384, 512, (384, 512)), (None, None, None), (384, None, None)]
)
def test_frames_are_fitted_to_the_size_that_training_recorded(torch_copy, height, width, target):
    folder = torch_copy("bottomup")

    def change(config):
        config["data_config"]["preprocessing"] |= {"max_height": height, "max_width": width}

    change_config(folder, change)
    assert read_torch_config(folder).target_size_px == target


def test_skeletons_with_edges_in_their_order_and_symmetries(torch_copy):
    folder = torch_copy("centered_instance")

    def change(config):
        names = [{"name": name} for name in ("left", "right", "head", "tail")]
        edges = [{"source": names[2], "destination": names[i]} for i in (1, 0, 3)]
        config["data_config"]["skeletons"] = [
            {"name": "fly", "nodes": names, "edges": edges, "symmetries": [[names[1], names[0]]]}
        ]
        head = config["model_config"]["head_configs"]["centered_instance"]["confmaps"]
        head["part_names"] = ["left", "right", "head"]

    change_config(folder, change)
    skeleton = read_torch_config(folder).skeleton
    assert (skeleton.name, skeleton.nodes) == ("fly", ("left", "right", "head"))
    assert skeleton.edges == ((2, 1), (2, 0))
    assert skeleton.symmetries == ((0, 1),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "model_config: 1",
        "a: [",
        "\x00",
        "!!python/object/apply:os.abort []",
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_a_configuration_that_is_none(torch_copy, tmp_path, text):
    folder = torch_copy("bottomup")
    (folder / "training_config.yaml").write_text(text)
    assert refused(folder, tmp_path / "v1").reason == "MODEL_CONFIG_INVALID"


@pytest.mark.parametrize("scale", [0, -1, ".nan", ".inf", None, "a\nb", [1, 1]])
def test_a_scale_that_is_none(torch_copy, tmp_path, scale):
    folder = torch_copy("bottomup")
    value = float(scale[1:]) if scale in (".nan", ".inf") else scale
    change_config(folder, lambda config: config["data_config"]["preprocessing"].update(scale=value))
    assert refused(folder, tmp_path / "v1").reason == "MODEL_CONFIG_INVALID"


def test_a_head_at_a_stride_that_the_backbone_has_not(torch_copy, tmp_path):
    folder = torch_copy("bottomup")

    def change(config):
        config["model_config"]["head_configs"]["bottomup"]["pafs"]["output_stride"] = 1

    change_config(folder, change)
    error = refused(folder, tmp_path / "v1")
    assert error.reason == "MODEL_CONFIG_INVALID"
    assert "PartAffinityFieldsHead_1" in error.message


def test_a_kind_that_is_not_imported(torch_copy, tmp_path):
    folder = torch_copy("centered_instance")

    def change(config):
        heads = config["model_config"]["head_configs"]
        heads["embedding"] = heads.pop("centered_instance")

    change_config(folder, change)
    error = refused(folder, tmp_path / "v1")
    assert error.reason == "MODEL_KIND_UNSUPPORTED"
    assert "embedding" in error.message


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        (("model_config", "backbone_config", "unet"), "stacks", 2),
        (
            ("model_config", "head_configs", "multi_class_topdown", "class_vectors"),
            "global_pool",
            False,
        ),
        (("data_config", "preprocessing"), "crop_mode", "bbox"),
        (("data_config", "preprocessing"), "crop_size", [96, 128]),
    ],
)
def test_a_setting_that_is_not_imported(torch_copy, tmp_path, section, key, value):
    folder = torch_copy("multiclass_centered_instance")

    def change(config):
        for name in section:
            config = config[name]
        config[key] = value

    change_config(folder, change)
    error = refused(folder, tmp_path / "v1")
    assert error.reason == "MODEL_KIND_UNSUPPORTED"
    assert str(value[0] if isinstance(value, list) else value).lower() in error.message.lower()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("stem_stride", 2),
        ("stem_stride", 3),
        ("middle_block", False),
        ("kernel_size", 5),
        ("convs_per_block", 3),
        ("convs_per_block", 0),
        ("max_stride", 16),
        ("max_stride", 7.5),
        ("output_stride", 16),
    ],
)
def test_a_network_that_the_weights_are_not_of(torch_copy, tmp_path, key, value):
    folder = torch_copy("bottomup")

    def change(config):
        config["model_config"]["backbone_config"]["unet"][key] = value

    change_config(folder, change)
    error = refused(folder, tmp_path / "v1")
    assert error.reason in ("MODEL_WEIGHTS_MISMATCH", "MODEL_CONFIG_INVALID")


def test_a_backbone_that_is_not_imported(torch_copy, tmp_path):
    folder = torch_copy("bottomup")

    def change(config):
        config["model_config"]["backbone_config"] = {"unet": None, "pretrained": {"max_stride": 16}}

    change_config(folder, change)
    error = refused(folder, tmp_path / "v1")
    assert error.reason == "MODEL_KIND_UNSUPPORTED"
    assert "pretrained" in error.message


def test_a_crop_size_that_is_not_there(torch_copy, tmp_path):
    folder = torch_copy("centered_instance")
    change_config(
        folder, lambda config: config["data_config"]["preprocessing"].update(crop_size=None)
    )
    error = refused(folder, tmp_path / "v1")
    assert error.reason == "MODEL_CONFIG_INVALID"
    assert "crop_size" in error.message
