"""Random changes of light and sharpness, which leave points where they are.

Axis legend: H W pixels, C channels.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from shoal_training.config import AugmentConfig

_LEAST_BLUR_PX = 0.3
"""Below it a Gaussian's neighbours weigh less than a gray level."""
_FULL = np.float32(255)


def relight(
    image_HWC: NDArray[np.uint8], config: AugmentConfig, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Returns the image with random gamma, contrast, brightness, blur and noise, in that order."""
    gamma = np.exp(rng.uniform(*np.log(config.gamma)))
    contrast = np.exp(rng.uniform(*np.log(config.contrast)))
    brightness = rng.uniform(*config.brightness)
    blur_px = rng.uniform(0, config.blur_sigma_px)
    noise = rng.uniform(0, config.noise_std)
    # Gamma, contrast and brightness are of gray levels alone: a table of 256.
    levels = np.linspace(0, 1, 256, dtype=np.float32) ** np.float32(gamma)
    mean = np.float32(levels[image_HWC].mean())
    levels = (levels - mean) * np.float32(contrast) + mean + np.float32(brightness)
    lit_HWC = levels[image_HWC] * _FULL
    if blur_px > _LEAST_BLUR_PX:
        blurred = cv2.GaussianBlur(lit_HWC, (0, 0), blur_px)
        lit_HWC = np.asarray(blurred, np.float32).reshape(image_HWC.shape)
    if noise:
        lit_HWC = lit_HWC + rng.standard_normal(lit_HWC.shape, np.float32) * _FULL * np.float32(
            noise
        )
    return np.asarray(np.clip(np.rint(lit_HWC), 0, _FULL), np.uint8)
