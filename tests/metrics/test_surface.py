import numpy as np
import pytest
from scipy.spatial.distance import cdist

from deepsim_tf.metrics import hausdorff95


def square(row, column, size=6, shape=(20, 24)):
    labels = np.zeros(shape, int)
    labels[row : row + size, column : column + size] = 1
    return labels


def test_a_moved_square_by_hand():
    # of the 20 surface voxels of a 6 x 6 square, the 6 on the side that is left behind are 3 columns away: more than 5 %
    np.testing.assert_allclose(hausdorff95(square(5, 5), square(5, 8), classes=2)[1], 3.0)


def test_the_larger_of_the_two_directions_counts():
    # the first 10 voxels of a line of 40: from short to long all 0; from long to short 10 times 0, then 1 .. 30, the 95 % of which is
    # 1/20 of the way from the 38th to the 39th of 40, 28 and 29
    short, long = np.zeros((5, 50), int), np.zeros((5, 50), int)
    short[2, :10], long[2, :40] = 1, 1
    np.testing.assert_allclose(hausdorff95(short, long, classes=2)[1], 28.05)
    np.testing.assert_allclose(hausdorff95(long, short, classes=2)[1], 28.05)


def test_one_distant_voxel_in_many_does_not_count():
    # 40 voxels in a row on top of each other, and one far away: 1 in 41 is less than 5 %
    line = np.zeros((20, 50), int)
    line[2, :40] = 1
    outlier = line.copy()
    outlier[19, 45] = 1
    assert hausdorff95(line, outlier, classes=2)[1] == 0


def test_spacing_turns_voxels_into_millimetres():
    np.testing.assert_allclose(hausdorff95(square(5, 5), square(5, 8), classes=2, spacing=(1.0, 0.5))[1], 1.5)
    np.testing.assert_allclose(hausdorff95(square(5, 5), square(8, 5), classes=2, spacing=(2.0, 0.5))[1], 6.0)


def test_equal_labels_are_at_distance_zero_and_the_measure_is_symmetric(rng):
    a, b = square(5, 5), square(6, 8, size=9)
    np.testing.assert_array_equal(hausdorff95(a, a, classes=2), [0, 0])
    np.testing.assert_array_equal(hausdorff95(a, b, classes=2), hausdorff95(b, a, classes=2))


def surface_points(mask):
    """Voxels of a mask with a face neighbour outside it, or outside the image."""
    padded = np.pad(mask, 1)
    inner = np.ones(mask.shape, bool)
    for axis in range(mask.ndim):
        for step in (-1, 1):
            inner &= np.roll(padded, step, axis)[(slice(1, -1),) * mask.ndim]
    return np.argwhere(mask & ~inner)


@pytest.mark.parametrize("shape, spacing", [((14, 15), (1.0, 2.0)), ((7, 8, 9), (0.5, 1.0, 3.0))])
def test_the_distance_is_that_of_all_pairs_of_surface_points(shape, spacing, rng):
    fixed, warped = rng.integers(0, 2, shape), rng.integers(0, 2, shape)
    fixed[(slice(0, 6),) * len(shape)], warped[(slice(2, 5),) * len(shape)] = 1, 1
    between = cdist(*(surface_points(labels == 1) * spacing for labels in (fixed, warped)))
    expected = max(np.percentile(between.min(0), 95), np.percentile(between.min(1), 95))
    np.testing.assert_allclose(hausdorff95(fixed, warped, classes=2, spacing=spacing)[1], expected)


def test_a_class_missing_in_either_is_nan():
    distances = hausdorff95(square(5, 5), np.zeros((20, 24), int), classes=3)
    assert np.isfinite(distances[0]) and np.isnan(distances[1]) and np.isnan(distances[2])


def test_labels_of_unequal_shape_are_refused():
    with pytest.raises(ValueError, match=r"hausdorff95 compares label maps of equal shape. Received: fixed_labels.shape=\(20, 24\)"):
        hausdorff95(square(5, 5), np.zeros((3, 3), int), classes=2)
