"""What makes a result doubtful, in sentences: the files are written all the same, and the command ends with 3."""

import numpy as np

MOST_FOLDS = 0.01  # of the voxels
FARTHEST = 0.25  # of the longest side of the fixed image, apart from the affine part
MOST_OUTSIDE = 0.2  # of the fixed grid
MOST_UNKNOWN = 0.01  # of the voxels, with intensities far from [0, 1]
REACH = 0.5  # how far they may be from it: noise and bright spots


def doubts(*, similarity, folds, field, affine, outside, images):
    """Sentences about a result that a person should look at before using it.

    Args:
        similarity: {"measure", "before", "after", "better"}, or None.
        folds: fraction of the voxels.
        field: the Field.
        affine: (ndim + 1, ndim + 1), its affine part in the world, or None.
        outside: fraction of the fixed grid whose partner lies outside the moving field of view.
        images: {"moving", "fixed"}: under the intensity rule, nominally in [0, 1].
    """
    if similarity is not None:
        gained = similarity["after"] - similarity["before"]
        if (gained if similarity["better"] == "higher" else -gained) <= 0:
            yield (
                f"The similarity did not improve ({similarity['measure']} {similarity['before']:.4g} before,"
                f" {similarity['after']:.4g} after): look at overview.png, and try another similarity or model."
            )
    if folds > MOST_FOLDS:
        yield (
            f"The flow folds at {100 * folds:.2g} % of the voxels, where it maps nothing properly: give the regulariser"
            " more weight, or integrate the flow (int_steps)."
        )
    farthest = _farthest(field, affine)
    if farthest > FARTHEST:
        yield (
            f"The flow moves something by {farthest:.2g} of the longest side of the image"
            f"{' beyond its affine part' if affine is not None else ''}: images this far apart are seldom brought"
            " together rightly. Look at overview.png."
        )
    if outside > MOST_OUTSIDE:
        yield (
            f"{100 * outside:.0f} % of the fixed image lie outside the moving image's field of view, where nothing can"
            " be compared: crop the fixed image, or check that the two belong together."
        )
    for name in ("moving", "fixed"):
        unknown = np.mean((images[name] < -REACH) | (images[name] > 1 + REACH))
        if unknown > MOST_UNKNOWN:
            yield (
                f"{100 * unknown:.0f} % of the {name} image's intensities are far outside the range that is expected:"
                " choose another rule (--intensity), such as quantile."
            )


def outside_share(field, moving_affine, moving_shape):
    """The fraction of the fixed grid whose partner lies outside the moving image."""
    to_moving, seen = np.linalg.inv(moving_affine), []
    for _, points, vectors in field.slabs():
        q = (points + vectors) @ to_moving[:-1, :-1].T + to_moving[:-1, -1]
        seen.append(((q < -0.5) | (q > np.array(moving_shape) - 0.5)).any(axis=-1).mean(axis=None) * len(q))
    return float(sum(seen) / field.shape[0])


def _farthest(field, affine):
    """The largest displacement beyond the affine part, as a fraction of the longest side of the fixed image."""
    sides = np.linalg.norm(field.affine[:-1, :-1], axis=0) * field.shape
    largest = 0.0
    for _, points, vectors in field.slabs():
        if affine is not None:
            vectors = points + vectors - (points @ affine[:-1, :-1].T + affine[:-1, -1])
        largest = max(largest, float(np.sqrt((vectors**2).sum(axis=-1).max())))
    return largest / sides.max()
