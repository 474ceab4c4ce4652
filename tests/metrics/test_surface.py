import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist

from deepsim_tf.metrics import hausdorff95, surface_distance, surface_distances


def square(row, column, size=6, shape=(20, 24)):
    labels = np.zeros(shape, int)
    labels[row : row + size, column : column + size] = 1
    return labels


def test_a_moved_square_by_hand():
    # of the 20 surface voxels of a 6 x 6 square, the 6 on the side that is left behind are 3 columns away: more than 5
    # %
    np.testing.assert_allclose(hausdorff95(square(5, 5), square(5, 8), classes=2)[1], 3.0)


def test_the_larger_of_the_two_directions_counts():
    # the first 10 voxels of a line of 40: from short to long all 0; from long to short 10 times 0, then 1 .. 30, the 95
    # % of which is 1/20 of the way from the 38th to the 39th of 40, 28 and 29
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
    average = np.concatenate([between.min(0), between.min(1)]).mean()
    np.testing.assert_allclose(surface_distance(fixed, warped, classes=2, spacing=spacing)[1], average)


def test_a_class_missing_in_either_is_nan():
    distances = hausdorff95(square(5, 5), np.zeros((20, 24), int), classes=3)
    assert np.isfinite(distances[0]) and np.isnan(distances[1]) and np.isnan(distances[2])


def test_labels_of_unequal_shape_are_refused():
    with pytest.raises(
        ValueError, match=r"hausdorff95 compares label maps of equal shape. Received: fixed_labels.shape=\(20, 24\)"
    ):
        hausdorff95(square(5, 5), np.zeros((3, 3), int), classes=2)


def test_the_average_distance_of_two_lines_by_hand():
    # columns 0 .. 3 and 2 .. 7 of one row: 2 1 0 0 and 0 0 1 2 3 4, over 4 + 6 voxels of half a millimetre
    a, b = np.zeros((5, 12), int), np.zeros((5, 12), int)
    a[2, :4], b[2, 2:8] = 1, 1
    np.testing.assert_allclose(surface_distance(a, b, classes=2, spacing=(1.0, 0.5))[1], (3 + 10) / 10 / 2)


def blobs(rng, shape, classes, size=4):
    """A label map of overlapping boxes, background at the border."""
    labels = np.zeros(shape, int)
    for c in range(1, classes):
        corner = [rng.integers(1, n - size - 1) for n in shape]
        labels[tuple(slice(k, k + size) for k in corner)] = c
    return labels


@pytest.mark.parametrize("shape, spacing", [((40, 50), (0.7, 1.3)), ((24, 20, 26), (1.0, 2.0, 0.5))])
def test_a_structure_in_a_large_image_has_the_distances_of_whole_distance_maps(shape, spacing, rng):
    # the reference: distance transforms of the whole image, uncropped
    fixed, warped = blobs(rng, shape, 5), blobs(rng, shape, 5)
    measured = surface_distances(fixed, warped, classes=6, spacing=spacing)
    for c in range(5):
        a, b = ((labels == c) & ~ndimage.binary_erosion(labels == c) for labels in (fixed, warped))
        ab, ba = (ndimage.distance_transform_edt(~to, sampling=spacing)[start] for start, to in ((a, b), (b, a)))
        np.testing.assert_allclose(
            measured["hausdorff95"][c], max(np.percentile(ab, 95), np.percentile(ba, 95)), rtol=1e-12
        )
        np.testing.assert_allclose(
            measured["surface_distance"][c], (ab.sum() + ba.sum()) / (len(ab) + len(ba)), rtol=1e-12
        )
    assert np.isnan(measured["hausdorff95"][5]) and np.isnan(measured["surface_distance"][5])


def test_the_distances_are_those_of_simpleitk(rng):
    sitk = pytest.importorskip("SimpleITK")
    spacing = (1.0, 2.0, 0.5)
    fixed, warped = blobs(rng, (24, 20, 26), 2, size=7), blobs(rng, (24, 20, 26), 2, size=8)

    def contour(labels):
        image = sitk.GetImageFromArray(labels.astype("uint8"))
        image.SetSpacing(spacing[::-1])  # SimpleITK's axes are x, y, z
        return sitk.LabelContour(image, fullyConnected=False)

    a, b = contour(fixed), contour(warped)
    maps = [
        sitk.GetArrayFromImage(sitk.Abs(sitk.SignedMaurerDistanceMap(c, squaredDistance=False, useImageSpacing=True)))
        for c in (a, b)
    ]
    ab, ba = maps[1][sitk.GetArrayFromImage(a) > 0], maps[0][sitk.GetArrayFromImage(b) > 0]
    measured = surface_distances(fixed, warped, classes=2, spacing=spacing)
    np.testing.assert_allclose(measured["hausdorff95"][1], max(np.percentile(ab, 95), np.percentile(ba, 95)), rtol=1e-5)
    np.testing.assert_allclose(measured["surface_distance"][1], np.concatenate([ab, ba]).mean(), rtol=1e-5)


def test_both_measures_come_from_one_call_and_the_background_may_be_left_out():
    a, b = square(5, 5), square(6, 8, size=9)
    both, foreground = surface_distances(a, b, classes=2), surface_distances(a, b, classes=2, background=False)
    for name, measure in (("hausdorff95", hausdorff95), ("surface_distance", surface_distance)):
        np.testing.assert_array_equal(both[name], measure(a, b, classes=2))
        np.testing.assert_array_equal(foreground[name], [np.nan, both[name][1]])


def test_the_largest_label_of_a_type_has_distances():
    a, b = square(5, 5).astype("uint8") * 255, square(5, 8).astype("uint8") * 255
    assert surface_distances(a, b, classes=256)["hausdorff95"][255] == 3.0


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, -1.0), 0.5, (1.0, np.inf)])
def test_a_spacing_that_is_none_is_refused(spacing):
    with pytest.raises(
        ValueError, match="surface_distance expects a spacing of 2 positive numbers in mm. Received: spacing="
    ):
        surface_distance(square(5, 5), square(5, 5), classes=2, spacing=spacing)


def test_labels_beyond_the_classes_are_refused():
    with pytest.raises(
        ValueError, match=r"surface_distances expects labels from 0 to 1 .* Received: warped_labels from 0 to 2"
    ):
        surface_distances(square(5, 5), 2 * square(5, 5), classes=2)
