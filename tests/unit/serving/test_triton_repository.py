from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from shoal_common.inference.contract import CONTRACT_PARAMETER, PoseContract
from shoal_common.inference.priority import Priority
from shoal_serving.importing import import_model
from shoal_serving.triton_repository import TritonLimits, TritonRepository

LIMITS = TritonLimits(instance_count=3, max_queued_requests=5, max_queued_live_requests=7)
BOTTOM_UP = ("minimal_instance.UNet.bottomup",)
CENTERED = ("minimal_instance.UNet.centered_instance",)
TOP_DOWN = ("minimal_instance.UNet.centroid", *CENTERED)


@pytest.fixture
def repository(tmp_path: Path) -> TritonRepository:
    return TritonRepository(tmp_path / "triton", LIMITS)


def imported(shared_data: Path, tmp_path: Path, models: tuple[str, ...], name: str = "1") -> Path:
    import_model([shared_data / "models" / model for model in models], tmp_path / name)
    return tmp_path / name


def written(tmp_path: Path, name: str) -> pb.ModelConfig:
    text = (tmp_path / "triton" / name / "config.pbtxt").read_text()
    return text_format.Parse(text, pb.ModelConfig())


@pytest.mark.parametrize(
    ("models", "required", "outputs"),
    [
        (
            BOTTOM_UP,
            {"images": [-1, -1, -1]},
            {
                "peaks": [2, 20, 2],
                "peak_values": [2, 20],
                "peak_counts": [2],
                "edge_scores": [1, 20, 20],
                "overflow": [1],
            },
        ),
        (
            CENTERED,
            {"images": [-1, -1, -1], "centroids": [-1, 2]},
            {
                "instance_peaks": [-1, 2, 2],
                "instance_peak_values": [-1, 2],
                "instance_scores": [-1],
                "instance_counts": [1],
                "overflow": [1],
            },
        ),
    ],
    ids=["bottom-up", "centered instance"],
)
def test_the_configuration_says_what_the_pose_contract_says(
    repository: TritonRepository,
    shared_data: Path,
    tmp_path: Path,
    models: tuple[str, ...],
    required: dict[str, list[int]],
    outputs: dict[str, list[int]],
) -> None:
    version = imported(shared_data, tmp_path, models)
    repository.add("m@1", version)
    config = written(tmp_path, "m@1")
    assert config.name == "m@1"
    given = {port.name: list(port.dims) for port in config.input if not port.optional}
    assert given == required
    assert {port.name for port in config.input if port.optional} == {
        *("peak_threshold", "crop_peak_threshold", "max_instances", "line_samples")
    }
    assert {port.name: list(port.dims) for port in config.output} == outputs
    contract = PoseContract.from_json(config.parameters[CONTRACT_PARAMETER].string_value)
    assert contract == PoseContract.from_json((version / "contract.json").read_text())
    assert set(config.model_warmup[0].inputs) == set(required)


def test_live_requests_go_first_and_queues_have_an_end(
    repository: TritonRepository, shared_data: Path, tmp_path: Path
) -> None:
    repository.add("m@1", imported(shared_data, tmp_path, BOTTOM_UP))
    config = written(tmp_path, "m@1")
    batching = config.dynamic_batching
    assert batching.priority_levels == 2
    assert batching.default_priority_level == Priority.BATCH.value
    assert batching.priority_queue_policy[Priority.LIVE.value].max_queue_size == 7
    assert batching.default_queue_policy.max_queue_size == 5
    assert [group.count for group in config.instance_group] == [3]


def test_a_model_costs_no_space_and_goes_without_its_version(
    repository: TritonRepository, shared_data: Path, tmp_path: Path
) -> None:
    version = imported(shared_data, tmp_path, TOP_DOWN)
    repository.add("m@1", version)
    repository.add("m2@1", version)
    for file in version.iterdir():
        assert (tmp_path / "triton" / "m@1" / "1" / file.name).samefile(file)
    assert repository.names("m@") == ["m@1"]
    repository.remove("m@1")
    assert repository.names("") == ["m2@1"]
    assert (version / "chain.json").is_file()


def test_a_version_that_came_under_an_old_name_is_written_anew(
    repository: TritonRepository, shared_data: Path, tmp_path: Path
) -> None:
    repository.add("m@1", imported(shared_data, tmp_path, BOTTOM_UP, "old"))
    repository.add("m@1", imported(shared_data, tmp_path, TOP_DOWN, "new"))
    assert (tmp_path / "triton" / "m@1" / "1" / "centroid.onnx").is_file()
    assert repository.names("") == ["m@1"]
