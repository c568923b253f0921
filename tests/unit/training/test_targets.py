"""Training draws what the reference draws."""

import numpy as np
import pytest
import torch

from shoal_core import targets as reference
from shoal_core.skeleton import Skeleton
from shoal_training.config import (
    ClassMapsHead,
    ClassVectorsHead,
    ConfmapsHead,
    HeadsConfig,
    ModelKind,
    PafsHead,
)
from shoal_training.heads import head_specs
from shoal_training.targets import Targets

EDGES = ((0, 1), (1, 2), (3, 1))
SKELETON = Skeleton("animal", ("a", "b", "c", "d"), EDGES)
SIZE = (48, 64)
SEEDS = range(4)


def _points(seed: int, *, batch: int = 3, instances: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-8, 72, (batch, instances, 4, 2)).astype(np.float32)
    points[rng.random((batch, instances, 4)) < 0.2] = np.nan
    points[0, 0, 1] = points[0, 0, 0]  # an edge without length
    points[-1, -1] = np.nan  # padding
    return torch.from_numpy(points), torch.from_numpy(rng.integers(-1, 2, (batch, instances)))


def _drawn(kind: ModelKind, config: HeadsConfig, seed: int) -> dict[str, np.ndarray]:
    heads = head_specs(kind, config, SKELETON, class_count=2)
    drawn = Targets(kind, config, heads, SKELETON).draw(*_points(seed), SIZE)
    assert list(drawn) == [head.name for head in heads]
    return {name: target.numpy() for name, target in drawn.items()}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_confidence_maps_are_those_of_the_reference(seed: int, stride: int) -> None:
    config = HeadsConfig(confmaps=ConfmapsHead(sigma_map_px=1.7, output_stride=stride))
    drawn = _drawn("single_instance", config, seed)["SingleInstanceConfmapsHead"]
    for image, points in zip(drawn, _points(seed)[0].numpy(), strict=True):
        size = (SIZE[0] // stride, SIZE[1] // stride)
        maps = reference.confidence_maps(points, size, output_stride=stride, sigma_map_px=1.7)
        np.testing.assert_allclose(image, maps.transpose(2, 0, 1), atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stride", [2, 4])
def test_fields_are_those_of_the_reference(seed: int, stride: int) -> None:
    config = HeadsConfig(pafs=PafsHead(sigma_px=15, output_stride=stride))
    drawn = _drawn("bottomup", config, seed)["PartAffinityFieldsHead"]
    for image, points in zip(drawn, _points(seed)[0].numpy(), strict=True):
        size = (SIZE[0] // stride, SIZE[1] // stride)
        fields = reference.part_affinity_fields(
            points, EDGES, size, output_stride=stride, sigma_px=15
        )
        expected = fields.reshape(*size, -1).transpose(2, 0, 1)
        np.testing.assert_allclose(image, expected, atol=2e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_class_discs_are_those_of_the_reference(seed: int) -> None:
    config = HeadsConfig(class_maps=ClassMapsHead(radius_map_px=3, output_stride=4))
    drawn = _drawn("multiclass_bottomup", config, seed)["ClassMapsHead"]
    points, classes = (values.numpy() for values in _points(seed))
    for image, points_in, classes_in in zip(drawn, points, classes, strict=True):
        discs = reference.class_discs(
            points_in, classes_in, 2, (12, 16), output_stride=4, radius_map_px=3
        )
        np.testing.assert_array_equal(image, discs.transpose(2, 0, 1))


@pytest.mark.parametrize("seed", SEEDS)
def test_offsets_are_those_of_the_reference(seed: int) -> None:
    config = HeadsConfig(confmaps=ConfmapsHead(sigma_map_px=2, offset_refinement=True))
    drawn = _drawn("single_instance", config, seed)["OffsetRefinementHead"]
    for image, points in zip(drawn, _points(seed)[0].numpy(), strict=True):
        maps = reference.offset_maps(points, (24, 32), output_stride=2, sigma_map_px=2)
        expected = maps.reshape(24, 32, -1).transpose(2, 0, 1)
        np.testing.assert_allclose(image, expected, atol=1e-5)


def test_crops_show_the_animal_that_was_cut_out_alone() -> None:
    config = HeadsConfig(class_vectors=ClassVectorsHead())
    drawn = _drawn("multiclass_centered_instance", config, 0)
    points, classes = _points(0)
    alone = reference.confidence_maps(
        points[1, :1].numpy(), (24, 32), output_stride=2, sigma_map_px=2.5
    )
    maps = drawn["CenteredInstanceConfmapsHead"][1]
    np.testing.assert_allclose(maps, alone.transpose(2, 0, 1), atol=1e-6)
    np.testing.assert_array_equal(drawn["ClassVectorsHead"], classes[:, 0].numpy())


def test_heads_with_a_spatial_softmax_are_told_the_nodes_in_map_pixels() -> None:
    config = HeadsConfig(confmaps=ConfmapsHead(loss="softmax", output_stride=4))
    drawn = _drawn("centered_instance", config, 1)["CenteredInstanceConfmapsHead"]
    np.testing.assert_array_equal(drawn, _points(1)[0][:, 0].numpy() / 4)
