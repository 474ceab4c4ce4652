"""How a trained model bears noise that it was not trained on (Czolbe et al. 2023, section on robustness)."""

import numpy as np
import pandas

from deepsim_tf.evaluation.measure import evaluate
from deepsim_tf.evaluation.statistics import bootstrap_interval

SIGMAS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35)


def noise_table(models, images, sigmas=SIGMAS, *, seed=0, verbose=1):
    """Dice of models on pairs to whose two images Gaussian noise is added; nothing is trained again.

    Args:
        models: dict from method to a Solver, or None for identity.
        images: an ImageSet with labels.
        sigmas: standard deviations of the noise, in units of the intensities.
        seed: of the noise; every model sees the same.
        verbose: 1 shows progress bars.

    Returns:
        DataFrame with a row a method and sigma: method, sigma, dice (mean over the pairs), dice_low and dice_high (95 %
            interval).
    """
    rows = []
    for sigma in sigmas:
        noisy = with_noise(images, sigma, seed)
        for method, model in models.items():
            dice = evaluate(model, noisy, quick=True, verbose=verbose)["dice"].dropna().to_numpy()
            low, high = bootstrap_interval(dice)
            rows.append(
                {"method": method, "sigma": float(sigma), "dice": dice.mean(), "dice_low": low, "dice_high": high}
            )
    return pandas.DataFrame(rows)


def with_noise(images, sigma, seed=0):
    """The ImageSet with noise of its own in each image, which is the same each time it is read."""

    def noisy(index, image):
        generator = np.random.default_rng([seed, index])
        return image + np.float32(sigma) * generator.standard_normal(image.shape, dtype=np.float32)

    atlas = images.atlas
    return images.derived(
        lambda i: (noisy(i, images[i][0]), images[i][1]),
        atlas=None if atlas is None else (noisy(len(images), atlas[0]), atlas[1]),
        cache=None,
    )
