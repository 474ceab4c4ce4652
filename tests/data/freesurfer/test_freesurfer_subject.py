"""One FreeSurfer subject.

Where its voxels and classes go, what its intensities become, and which subjects are refused.
"""

import gzip
import os

import nibabel as nib
import numpy as np
import pytest
from freesurfer_scene import COARSE, LANDMARKS, MATRIX, OBLIQUE, SCENE, prepare, read, write_subject, xfm

from deepsim_tf.data.freesurfer import subject as freesurfer_subject
from deepsim_tf.data.freesurfer.classes import CLASSES, merge_ids

# The classes of the table in data/freesurfer_classes.py, written down id by id.
CORTEX = {hemisphere + area: 22 if area in (2, 10, 23, 26) else 1 for hemisphere in (1000, 2000) for area in range(36)}
BY_HAND = CORTEX | {
    **{
        3: 1,
        42: 1,
        2: 2,
        41: 2,
        251: 2,
        252: 2,
        253: 2,
        254: 2,
        255: 2,
        4: 3,
        43: 3,
        5: 4,
        44: 4,
        7: 5,
        46: 5,
        8: 6,
        47: 6,
    },
    **{
        10: 7,
        49: 7,
        11: 8,
        50: 8,
        12: 9,
        51: 9,
        13: 10,
        52: 10,
        14: 11,
        15: 12,
        16: 13,
        17: 14,
        53: 14,
        18: 15,
        54: 15,
        24: 16,
    },
    **{26: 17, 58: 17, 28: 18, 60: 18, 30: 19, 62: 19, 31: 20, 63: 20, 72: 21, 77: 23, 78: 23, 79: 23},
}


def test_landmarks_arrive_at_their_place_in_the_common_space(root):
    write_subject(root, "s1")
    result = prepare(root)
    assert (result.subjects, result.failed, result.atlas) == (["s1"], {}, "s1")
    image, labels = read(root.parent / "out" / "data" / "s1")
    for file in (image, labels):
        assert (
            file.shape == (160, 192, 224)
            and file.get_data_dtype() == np.uint8
            and nib.aff2axcodes(file.affine) == ("L", "I", "A")
        )
        assert file.header.get_xyzt_units()[0] == "mm"
        np.testing.assert_array_equal(file.get_qform(), file.get_sform())
    values, classes = np.asarray(image.dataobj, float), np.asarray(labels.dataobj)
    for number, (x, y, z) in LANDMARKS.items():
        expected = np.array([80 - x, 98 - z, y + 128])  # 1 mm: left, down, forward
        around = tuple(slice(n - 16, n + 17) for n in expected)
        for weights in (values[around], classes[around] == BY_HAND[number]):
            centroid = [np.average(axis, weights=weights) for axis in np.indices(weights.shape)]
            np.testing.assert_allclose(centroid, 16, atol=0.5)
    volume = 4 / 3 * np.pi * 12**3
    assert abs(np.sum(classes == 14) / volume - 1) < 0.05
    assert (
        180 < values.max() <= SCENE[0].max()
    )  # linear interpolation lowers a peak between voxels, and never raises it


def test_the_brain_of_the_common_space_fits_into_the_grid():
    # The MNI305 brain's bounding box, brain stem included.
    corners = np.array(np.meshgrid([-70, 70], [-106, 73], [-80, 85], indexing="ij")).reshape(3, -1).T
    voxels = nib.affines.apply_affine(np.linalg.inv(freesurfer_subject.GRID_AFFINE), corners)
    assert (voxels >= 9).all() and (voxels <= np.array(freesurfer_subject.GRID_SHAPE) - 10).all()


def test_every_id_goes_into_its_class(root, coarse):
    ids = np.zeros(COARSE[0], np.int32)
    ids.flat[:2100], ids.flat[2100:2102] = np.arange(2100), (12101, -1)
    write_subject(
        root,
        "s1",
        np.arange(ids.size, dtype=np.float32).reshape(ids.shape),
        ids,
        affine=COARSE[1],
        transform=xfm(np.eye(4)),
    )
    prepare(root)
    _, labels = read(root.parent / "out" / "data" / "s1")
    expected = np.vectorize(lambda number: BY_HAND.get(number, 0))(ids)
    np.testing.assert_array_equal(
        np.asarray(labels.dataobj), expected
    )  # the same grid: nothing but the classes changes
    assert len(CLASSES) == 24 and set(BY_HAND.values()) == set(range(1, 24))
    assert merge_ids(np.array([[17, 2002]])).dtype == np.uint8


@pytest.mark.parametrize(("dtype", "kept"), [(np.uint8, np.uint8), (np.int16, np.float32), (np.float32, np.float32)])
def test_intensities_are_linear_between_voxels_and_bytes_are_rounded(root, coarse, dtype, kept):
    # A ramp along the first axis, shifted by 0.35 voxels (2.8 mm to the left is +0.35 in this axis).
    ramp = np.broadcast_to(np.arange(20)[:, None, None] * 10, COARSE[0]).astype(dtype)
    shift = np.eye(4)
    shift[0, 3] = 2.8
    write_subject(root, "s1", ramp, np.full(COARSE[0], 2, np.int32), affine=COARSE[1], transform=xfm(shift))
    prepare(root)
    image, _ = read(root.parent / "out" / "data" / "s1")
    assert image.get_data_dtype() == kept
    expected = np.arange(1, 19) * 10 + 3.5
    np.testing.assert_allclose(
        image.get_fdata()[1:19, 5, 5], np.rint(expected) if kept == np.uint8 else expected, atol=1e-3
    )


NAN = np.where(SCENE[1] > 0, np.nan, SCENE[0]).astype(np.float32)
FAR = np.eye(4)
FAR[0, 3] = 60
BAD = [
    ({"image": None}, "has no mri/norm.mgz and no mri/brain.mgz. Run recon-all to its end"),
    ({"ids": None}, "has no mri/aparc\\+aseg.mgz and no mri/aseg.mgz"),
    ({"ids": SCENE[1][:-1]}, r"norm.mgz has shape \(50, 48, 46\), .*aparc\+aseg.mgz \(49, 48, 46\). Expected one grid"),
    (
        {"ids_affine": OBLIQUE + 0.1 * np.eye(4, k=3)},
        r"norm.mgz has affine .*, .*aparc\+aseg.mgz .*. Expected one grid",
    ),
    (
        {"image": np.stack([SCENE[0]] * 2, -1)},
        r"norm.mgz holds an array of shape \(50, 48, 46, 2\). Expected a 2-D or 3-D image",
    ),
    ({"image": NAN}, "norm.mgz holds NaN or infinity"),
    ({"image": np.full_like(SCENE[0], 7)}, "norm.mgz is constant, 7 everywhere"),
    ({"ids": np.full_like(SCENE[1], 85)}, r"aparc\+aseg.mgz has no known brain label. .* Received: 85"),
    ({"ids": (SCENE[1] / 2).astype(np.float32) + 0.25}, "values that are no whole numbers"),
    ({"ids": np.where(SCENE[1] > 0, np.nan, 0).astype(np.float32)}, "values that are no whole numbers"),
    ({"transform": ""}, "talairach.xfm is not an affine MNI transform file"),
    ({"transform": xfm(MATRIX, header="")}, "is not an affine MNI transform file"),
    ({"transform": xfm(MATRIX)[:-10]}, "is not an affine MNI transform file, or cut short"),
    ({"transform": xfm(MATRIX[:2])}, "is not an affine MNI transform file"),
    ({"transform": xfm(MATRIX).replace("1.15", "one")}, "is not an affine MNI transform file"),
    (
        {"transform": xfm(MATRIX) + "Linear_Transform =\n1 0 0 0\n0 1 0 0\n0 0 1 0;\n"},
        "is not an affine MNI transform file",
    ),
    ({"transform": xfm(MATRIX) + "Grid_Transform;\n"}, "is not an affine MNI transform file"),
    ({"transform": xfm(np.zeros((3, 4)))}, "talairach.xfm multiplies volumes by 0. Expected 0.2 to 5"),
    ({"transform": xfm(np.diag([2, 2, 2, 1]))}, "multiplies volumes by 8. Expected 0.2 to 5"),
    ({"transform": xfm(np.diag([-1, 1, 1, 1]))}, "multiplies volumes by -1"),  # would swap left and right
    ({"transform": xfm(np.full((3, 4), np.nan))}, "is not an affine MNI transform file"),
    ({"transform": xfm(FAR @ MATRIX)}, r"of the brain's 2.... mm\^3 fall outside the common space, more than 5%"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_a_bad_subject_is_named_and_the_others_go_on(root, coarse, change, message):
    write_subject(root, "bad", **change)
    with pytest.raises(ValueError, match=f"None of the 1 subjects .* could be prepared. .*{message}"):
        prepare(root)
    write_subject(root, "good")
    result = prepare(root)
    assert result.subjects == ["good"] and list(result.failed) == ["bad"] and "\n" not in result.failed["bad"]
    assert os.listdir(root.parent / "out" / "data") == ["good"]


def test_a_subject_without_a_transform_is_named(root, coarse):
    (write_subject(root, "a") / "transforms" / "talairach.xfm").unlink()
    with pytest.raises(ValueError, match="has no mri/transforms/talairach.xfm"):
        prepare(root)


@pytest.mark.parametrize("name", ["norm.mgz", "aparc+aseg.mgz"])
@pytest.mark.parametrize("kept", [0, 5, 200, 1000, -1])
def test_a_truncated_volume_is_named(root, coarse, name, kept):
    path = write_subject(root, "a") / name
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(
        ValueError, match=f"Cannot read .*{name.replace('+', '.')} .*: expected an MGZ image. The file seems truncated"
    ):
        prepare(root)


def test_a_volume_that_lost_voxels_before_compression_is_named(root, coarse):
    path = write_subject(root, "a") / "norm.mgz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:50_000]))
    with pytest.raises(ValueError, match="Cannot read .*norm.mgz"):
        prepare(root)
