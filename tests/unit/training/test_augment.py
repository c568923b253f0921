"""Laws of augmentation: points stay on what they mark."""

from dataclasses import replace

import numpy as np
import pytest

from shoal_core.skeleton import Skeleton
from shoal_training.augment import Augmenter
from shoal_training.augment.symmetry import mirrored_nodes
from shoal_training.augment.warp import Warp
from shoal_training.config import AugmentConfig
from shoal_training.samples import Sample

SKELETON = Skeleton(
    "fly",
    ("thorax", "head", "abdomen", "wingL", "wingR"),
    edges=((0, 1), (0, 2), (0, 3), (0, 4)),
    symmetries=((3, 4),),
)
POINTS_PX_N2 = np.array([[64, 64], [64, 34], [62, 92], [40, 84], [89, 80]], np.float32)
NOTHING = AugmentConfig(rotation_deg=(0, 0), scale=(1, 1))
WARPS = {
    "turned": replace(NOTHING, rotation_deg=(-180, 180)),
    "scaled": replace(NOTHING, scale=(0.8, 1.25)),
    "shifted": replace(NOTHING, translation_px=9.3),
    "mirrored": replace(NOTHING, flip_probability=1.0),
    "articulated": replace(NOTHING, articulation_deg=20, articulation_scale=0.15),
    "all": AugmentConfig(
        translation_px=5, flip_probability=0.5, articulation_deg=15, articulation_scale=0.1
    ),
}


def dots(points_px: np.ndarray, size: int = 129) -> np.ndarray:
    """A bright dot with soft edges at each point."""
    y, x = np.mgrid[:size, :size]
    gaps = np.square(x - points_px[:, 0, None, None]) + np.square(y - points_px[:, 1, None, None])
    return (250 * np.exp(-gaps / (2 * 2.0**2))).max(axis=0).astype(np.uint8)[..., None]


def sample_of(shown_N2: np.ndarray = POINTS_PX_N2) -> Sample:
    return Sample(dots(shown_N2), POINTS_PX_N2[None], np.array([-1]))


def noise_sample(seed: int = 3) -> Sample:
    image = np.random.default_rng(seed).integers(0, 256, (129, 129, 1), np.uint8)
    return Sample(image, POINTS_PX_N2[None], np.array([-1]))


def centroid(image: np.ndarray) -> np.ndarray:
    y, x = np.nonzero(image > 60)
    weights = image[y, x].astype(float)
    return np.array([(x * weights).sum(), (y * weights).sum()]) / weights.sum()


def test_windows_show_animals_most_often_and_the_rest_now_and_then() -> None:
    size_px, side_px = 601, 129
    rng = np.random.default_rng(0)
    animals_IN2 = np.stack([POINTS_PX_N2, POINTS_PX_N2 + 400])
    sample = Sample(dots(animals_IN2.reshape(-1, 2), size_px), animals_IN2, np.array([0, 1]))
    config = replace(NOTHING, rotation_deg=(-180, 180))
    augment = Augmenter(config, SKELETON, (side_px, side_px), sees_window=True)
    whole_count = np.zeros(2)
    for _ in range(200):
        changed = augment(sample, rng)
        assert changed.image_HWC.shape == (side_px, side_px, 1)
        shown_IN = np.isfinite(changed.points_px_IN2).all(axis=2)
        whole_count += shown_IN.all(axis=1)
        inside = changed.points_px_IN2[shown_IN].round().astype(int)
        inside = inside[((inside >= 0) & (inside < side_px)).all(axis=1)]
        assert (changed.image_HWC[inside[:, 1], inside[:, 0]] > 150).all()
    assert (whole_count > 60).all()
    assert whole_count.sum() < 190
    nobody = replace(sample, points_px_IN2=np.full((0, 5, 2), np.nan, np.float32))
    assert augment(nobody, rng).image_HWC.shape == (side_px, side_px, 1)


@pytest.mark.parametrize("name", WARPS)
@pytest.mark.parametrize("node", range(5))
def test_points_follow_pixels(name: str, node: int) -> None:
    augment = Augmenter(WARPS[name], SKELETON, (129, 129))
    for seed in range(6):
        changed = augment(sample_of(POINTS_PX_N2[[node]]), np.random.default_rng(seed))
        mirror = mirrored_nodes(SKELETON)
        expected = centroid(changed.image_HWC[..., 0])
        marked = changed.points_px_IN2[0]
        # A mirrored left wing is a right wing: the dot is at one of the pair.
        gap = np.nanmin(np.hypot(*(marked[[node, mirror[node]]] - expected).T))
        assert gap < 1.0


def test_a_point_is_found_where_steps_from_a_wrong_guess_lead_astray() -> None:
    # Steps that go the wrong way never arrive.
    warp = Warp.of(lambda places: places, (97, 97))
    points_K = np.array([40.0 + 40j, 300 + 40j])
    found_K = warp.find(points_K, points_K + (5 - 3j), lambda steps: -steps)
    assert abs(found_K[0] - points_K[0]) < 1
    assert np.isnan(found_K[1])


def test_a_mirrored_left_wing_is_a_right_wing() -> None:
    augment = Augmenter(WARPS["mirrored"], SKELETON, (129, 129))
    changed = augment(sample_of(), np.random.default_rng(0)).points_px_IN2[0]
    mirrored = POINTS_PX_N2 * (-1, 1) + (128, 0)
    np.testing.assert_allclose(changed, mirrored[[0, 1, 2, 4, 3]], atol=1e-3)


def test_mirroring_twice_changes_nothing() -> None:
    augment = Augmenter(WARPS["mirrored"], SKELETON, (129, 129))
    rng = np.random.default_rng(0)
    twice = augment(augment(noise_sample(), rng), rng)
    np.testing.assert_array_equal(twice.image_HWC, noise_sample().image_HWC)
    np.testing.assert_allclose(twice.points_px_IN2[0], POINTS_PX_N2, atol=1e-3)


def test_a_configuration_of_nothing_changes_nothing() -> None:
    changed = Augmenter(NOTHING, SKELETON, (129, 129))(noise_sample(), np.random.default_rng(0))
    np.testing.assert_array_equal(changed.image_HWC, noise_sample().image_HWC)
    np.testing.assert_allclose(changed.points_px_IN2[0], POINTS_PX_N2, atol=1e-3)


def test_a_seed_decides_everything() -> None:
    config = replace(
        WARPS["all"], noise_std=0.1, blur_sigma_px=1, brightness=(-0.1, 0.1), paste_probability=0.5
    )
    augment = Augmenter(config, SKELETON, (96, 112))
    one, same, other = (
        augment(noise_sample(), np.random.default_rng(seed), noise_sample(4)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.image_HWC, same.image_HWC)
    np.testing.assert_array_equal(one.points_px_IN2, same.points_px_IN2)
    assert (one.image_HWC != other.image_HWC).any()


def test_the_result_has_the_size_asked_for_and_its_middle_is_the_images() -> None:
    changed = Augmenter(NOTHING, SKELETON, (65, 97))(sample_of(), np.random.default_rng(0))
    assert changed.image_HWC.shape == (65, 97, 1)
    np.testing.assert_allclose(changed.points_px_IN2[0, 0], (48, 32), atol=1e-3)


def test_points_outside_the_result_are_not_visible() -> None:
    changed = Augmenter(NOTHING, SKELETON, (33, 33))(sample_of(), np.random.default_rng(0))
    np.testing.assert_array_equal(
        np.isfinite(changed.points_px_IN2[0, :, 0]), (True, False, False, False, False)
    )


def test_missing_nodes_stay_missing_and_keep_no_other_from_moving() -> None:
    whole = sample_of()
    points = whole.points_px_IN2.copy()
    points[0, 3] = np.nan
    augment = Augmenter(WARPS["articulated"], SKELETON, (129, 129))
    changed = augment(replace(whole, points_px_IN2=points), np.random.default_rng(0))
    assert np.isnan(changed.points_px_IN2[0]).any(axis=1).tolist() == [0, 0, 0, 1, 0]


def test_light_leaves_points_alone() -> None:
    config = replace(
        NOTHING,
        brightness=(0.1, 0.2),
        contrast=(0.5, 0.7),
        gamma=(0.5, 2.0),
        noise_std=0.1,
        blur_sigma_px=2.0,
    )
    changed = Augmenter(config, SKELETON, (129, 129))(noise_sample(), np.random.default_rng(0))
    np.testing.assert_allclose(changed.points_px_IN2[0], POINTS_PX_N2, atol=1e-3)
    assert (changed.image_HWC != noise_sample().image_HWC).mean() > 0.9


@pytest.mark.parametrize("inverted", [False, True])
def test_a_pasted_animal_brings_none_of_its_ground_along(inverted: bool) -> None:
    levels = (lambda image: 255 - image) if inverted else (lambda image: image)
    ground = Sample(
        levels(np.full((129, 129, 1), 60, np.uint8)), POINTS_PX_N2[None], np.array([-1])
    )
    animal = replace(ground, image_HWC=levels(np.maximum(dots(POINTS_PX_N2), 40)))
    augment = Augmenter(replace(NOTHING, paste_probability=1.0), SKELETON, (129, 129))
    mixed = augment(ground, np.random.default_rng(0), animal)
    assert levels(mixed.image_HWC).min() == 60
    assert levels(mixed.image_HWC).max() > 200
    np.testing.assert_allclose(mixed.points_px_IN2, ground.points_px_IN2, atol=1e-3)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("wingL", "wingR"),
        ("left_ear", "right_ear"),
        ("forelegL4", "forelegR4"),
        ("EarLeft", "EarRight"),
    ],
)
def test_nodes_are_paired_by_name_where_the_skeleton_names_no_pairs(one: str, other: str) -> None:
    skeleton = Skeleton("animal", ("nose", one, "tail", other))
    assert mirrored_nodes(skeleton).tolist() == [0, 3, 2, 1]


def test_a_name_that_only_begins_like_a_side_is_no_pair() -> None:
    skeleton = Skeleton("animal", ("leg", "reg", "lower", "rower"))
    assert mirrored_nodes(skeleton).tolist() == [0, 1, 2, 3]
