"""Intensity augmentation: noise, gamma and bias field, drawn anew for each image of each sample.

Of an image of several channels, noise and gamma are drawn for each channel, as each has a detector, a stain or a
sequence of its own; the noise's sigma and the bias field are drawn once, as all are seen through one instrument.
"""

import numbers

import tensorflow as tf

from deepsim_tf.augmentation.arguments import Shown, image_keys, is_number, number_range


class _RandomIntensity(Shown):
    """Calls `change(image, seed)` of a subclass for each image, each with a seed of its own.

    Label maps pass through.
    """

    def __call__(self, tensors, seed):
        """Change the images, each on its own, and pass label maps through.

        Args:
            tensors: dict of images (batch, *spatial, channels), float, with 2 or 3 spatial axes, and label maps,
                whose keys end in "labels".
            seed: two integers; equal seeds give equal draws.

        Returns:
            dict with the same keys, shapes and dtypes; the label maps are the very tensors received.

        Raises:
            ValueError: no image, or an image of another rank or of an integer type.
        """
        images = image_keys(tensors)
        changed = dict(tensors)
        for number, key in enumerate(images):
            image = tf.convert_to_tensor(tensors[key])
            if image.shape.rank not in (4, 5) or not image.dtype.is_floating:
                raise ValueError(
                    f"{key} must be (batch, *spatial, channels), float, with 2 or 3 spatial axes. "
                    f"Received: shape={image.shape}, dtype={image.dtype.name}. Do keys of label maps end in 'labels'?"
                )
            # Folding, so that moving and fixed differ; samples differ because one draw covers the batch.
            draw = tf.random.experimental.stateless_fold_in(seed, number)
            changed[key] = tf.ensure_shape(self.change(image, draw), image.shape)
        return changed


class RandomNoise(_RandomIntensity):
    """Add Gaussian noise: x + sigma n, n ~ N(0, 1) in each voxel and channel, sigma ~ U(least, largest) in each image.

    Args:
        sigma: (least, largest) standard deviation in units of the intensity; for images in [0, 1], 0.05 is light
            and the paper's noise test has 0.35. Nothing is clipped: noisy values leave [0, 1].

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> noisy = ds.augmentation.RandomNoise(sigma=(0.0, 0.1))({"moving": moving, "fixed": fixed}, seed=(1, 2))
    """

    def __init__(self, *, sigma=(0.0, 0.05)):
        self.sigma = number_range("sigma", sigma, least=0)

    def change(self, image, seed):
        """The noisy image; see the class."""
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, num=2))
        sigma = _drawn(image, seeds[0], *self.sigma, channels=1)
        return image + sigma * tf.random.stateless_normal(tf.shape(image), seeds[1], dtype=image.dtype)


class RandomGamma(_RandomIntensity):
    """Change the contrast: sign(x) |x|^exp(g), g ~ U(least, largest) in each channel of each image.

    0 and 1 stay where they are. g > 0 darkens what lies between and g < 0 brightens it; g = 0 is the identity. Beyond 1
    the curve goes on: g > 0 moves those values further up, g < 0 towards 1. Negative values mirror the positive ones.

    Args:
        log_gamma: (least, largest) g, the logarithm of the exponent; +-0.3 is an exponent from 0.74 to 1.35.

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> contrast = ds.augmentation.RandomGamma(log_gamma=(-0.5, 0.5))
    """

    def __init__(self, *, log_gamma=(-0.3, 0.3)):
        self.log_gamma = number_range("log_gamma", log_gamma)

    def change(self, image, seed):
        """The image of changed contrast; see the class."""
        return tf.sign(image) * tf.abs(image) ** tf.exp(
            _drawn(image, seed, *self.log_gamma, channels=tf.shape(image)[-1])
        )


class RandomBiasField(_RandomIntensity):
    """Multiply by a smooth field, the exponential of a polynomial.

    X(p) exp(sum of c_ij.. u^i v^j ..), i + j + .. <= order.

    u, v, .. are the voxel's coordinates, from -1 at the first voxel of an axis to 1 at the last; each c ~
    U(-coefficients, coefficients), in each image, the constant term among them. All channels share the field. It models
    the uneven sensitivity of MR coils and uneven illumination in microscopy.

    Args:
        coefficients: largest size of a coefficient; 0 is the identity. With 0.3 and order 3, a typical factor at
            the corners of a volume is exp(+-0.8), at its centre exp(+-0.2).
        order: largest total degree, 0 to 10; higher orders vary over shorter distances.

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> uneven = ds.augmentation.RandomBiasField(coefficients=0.2)

    Reference:
        Van Leemput et al., Automated model-based bias field correction of MR images of the brain, IEEE TMI 18(10),
        1999.
    """

    def __init__(self, *, coefficients=0.3, order=3):
        if not is_number(coefficients) or coefficients < 0:
            raise ValueError(f"coefficients must be a number from 0. Received: coefficients={coefficients!r}.")
        if not isinstance(order, numbers.Integral) or isinstance(order, bool) or not 0 <= order <= 10:
            raise ValueError(f"order must be an integer from 0 to 10. Received: order={order!r}.")
        self.coefficients, self.order = coefficients, int(order)

    def change(self, image, seed):
        """The image times its field; see the class."""
        shape = tf.shape(image)
        coefficients = tf.cast(self.sample(shape[0], image.shape.rank - 2, seed), image.dtype)
        return image * tf.exp(polynomial(coefficients, shape[1:-1]))[..., None]

    def sample(self, count, ndim, seed):
        """Draw `count` polynomials.

        Tensor (count, order + 1, ..), whose element [n, i, j, ..] multiplies u^i v^j ..; 0 above the order.
        """
        powers = [self.order + 1] * ndim
        degree = sum(tf.meshgrid(*[tf.range(n) for n in powers], indexing="ij"))
        drawn = tf.random.stateless_uniform([count, *powers], seed, -self.coefficients, self.coefficients)
        return tf.where(degree <= self.order, drawn, 0.0)


class Compose:
    """Apply transforms one after another, each with a seed of its own.

    The k-th transform gets the seed folded with k: appending one leaves the draws of those before it as they were.

    Args:
        transforms: a list or tuple of callables `(tensors, seed) -> tensors`, such as those of this module.

    Raises:
        ValueError: no transform, or one that cannot be called.

    Example:
        >>> augment = ds.augmentation.Compose([ds.augmentation.RandomAffine(), ds.augmentation.RandomNoise()])
        >>> batches = ds.data.registration_dataset(images, 4, training=True, augment=augment)
    """

    def __init__(self, transforms):
        if not isinstance(transforms, (list, tuple)) or not transforms or not all(map(callable, transforms)):
            raise ValueError(
                "transforms must be a list of one or more callables (tensors, seed) -> tensors. Received:"
                f" transforms={transforms!r}."
            )
        self.transforms = list(transforms)

    def __call__(self, tensors, seed):
        """Apply the transforms to a dict of tensors; `seed` is two integers."""
        for number, transform in enumerate(self.transforms):
            tensors = transform(tensors, tf.random.experimental.stateless_fold_in(seed, number))
        return tensors

    def __repr__(self):
        return f"Compose({self.transforms!r})"


def polynomial(coefficients, shape):
    """Polynomials of the coordinates in [-1, 1] on a grid.

    Args:
        coefficients: tensor (batch, order + 1, ..), one power axis for each axis of the grid.
        shape: the spatial shape, a tuple or a 1-D integer tensor.

    Returns:
        Tensor (batch, *shape) of the dtype of `coefficients`.
    """
    dtype, values = coefficients.dtype, coefficients
    for n in tf.unstack(tf.convert_to_tensor(shape, tf.int32)):
        line = tf.linspace(tf.cast(-1, dtype), tf.cast(1, dtype), n)
        powers = line[:, None] ** tf.range(coefficients.shape[1], dtype=dtype)  # (n, order + 1)
        # Axis by axis, (batch, i, j, ..) -> (batch, j, .., n): never more than one array as large as the grid.
        values = tf.tensordot(values, powers, [[1], [1]])
    return values


def _drawn(image, seed, low, high, *, channels):
    """Uniform draws for each image of a batch: (batch, 1, .., 1, channels)."""
    shape = [tf.shape(image)[0]] + [1] * (image.shape.rank - 2) + [channels]
    return tf.random.stateless_uniform(shape, seed, low, high, dtype=image.dtype)
