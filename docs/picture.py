"""Renders docs/world.jpg: a synthetic world with its true poses and tracks."""

from pathlib import Path

import cv2

from shoal_core.synthetic import SyntheticWorld, WorldConfig
from shoal_media.rendering import PoseRenderer, RenderStyle

WORLD = WorldConfig(
    frame_count=260, height_px=420, width_px=880, animal_count=5, seed=11, body_length_px=96
)


def main() -> None:
    """Draws the last frame with the trails of those before it."""
    world = SyntheticWorld(WORLD)
    names = [f"animal {index + 1}" for index in range(WORLD.animal_count)]
    style = RenderStyle(scale=1.5, trail_frame_count=70, has_labels=True)
    renderer = PoseRenderer(world.skeleton, names, style=style)
    for frame_index in range(180, WORLD.frame_count):
        picture_HW3 = renderer.draw(world.render(frame_index), world.truth(frame_index))
    path = Path(__file__).parent / "world.jpg"
    cv2.imwrite(
        str(path), cv2.cvtColor(picture_HW3, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90]
    )


if __name__ == "__main__":
    main()
