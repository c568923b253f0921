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
    counts = np.bincount(image_HWC.ravel(), minlength=256)
    mean = np.float32(counts @ levels / image_HWC.size)
    levels = ((levels - mean) * np.float32(contrast) + mean + np.float32(brightness)) * _FULL
    lit_HWC = cv2.LUT(image_HWC, levels).reshape(image_HWC.shape)
    if blur_px > _LEAST_BLUR_PX:
        lit_HWC = cv2.GaussianBlur(lit_HWC, (0, 0), blur_px).reshape(image_HWC.shape)
    if noise:
        grain_HWC = rng.standard_normal(lit_HWC.shape, np.float32)
        lit_HWC = cv2.scaleAdd(grain_HWC, float(_FULL) * noise, lit_HWC)
    whole_HWC = cv2.convertScaleAbs(np.maximum(lit_HWC, 0))
    return np.asarray(whole_HWC, np.uint8).reshape(image_HWC.shape)
