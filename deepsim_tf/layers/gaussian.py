"""Gaussian smoothing of images and fields as TensorFlow operations."""

import numpy as np
import tensorflow as tf

TRUNCATE = 3  # standard deviations at which the kernel ends


def gaussian(images, sigma):
    """Images (batch, *spatial, channels) after a Gaussian of standard deviation `sigma` voxels; 0 beyond the border.

    As scipy.ndimage.gaussian_filter(mode="constant", truncate=3).
    """
    if not sigma:
        return images
    radius = int(TRUNCATE * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(images.dtype.as_numpy_dtype)
    for axis in range(1, len(images.shape) - 1):
        size, margins = tf.shape(images)[axis], np.zeros((len(images.shape), 2), int)
        margins[axis] = radius
        padded, before = tf.pad(images, margins), (slice(None),) * axis
        images = sum(weight * padded[(*before, slice(k, k + size))] for k, weight in enumerate(kernel))
    return images
