"""ds.data.from_csv refuses what does not fit together, in one sentence, before anything is trained."""

import nibabel
import numpy as np
import pytest
from writers import blob, noise, write_any, write_nifti, write_pages

from deepsim_tf.data import from_csv

SHAPE = (8, 9)


@pytest.fixture
def table(tmp_path):
    """Images a, b, c with labels la, lb, lc, all (8, 9), and `own.csv` of them."""
    for seed, name in enumerate("abc"):
        write_pages(tmp_path / f"{name}.tif", noise(SHAPE, seed=seed))
        write_pages(tmp_path / f"l{name}.tif", blob(SHAPE, 3))
    (tmp_path / "own.csv").write_text("image,labels,split\na.tif,la.tif,train\nb.tif,lb.tif,train\nc.tif,lc.tif,val\n")
    return tmp_path / "own.csv"


@pytest.mark.parametrize(
    ("file", "array", "message"),
    [
        (
            "b.tif",
            noise((9, 9)),
            r"b.tif has shape \(9, 9\), its labels .*lb.tif \(8, 9\). Expected one shape for both",
        ),
        ("lb.tif", blob((3, *SHAPE)), r"b.tif has shape \(8, 9\), its labels .*lb.tif \(3, 8, 9\)"),
        ("lb.tif", np.full(SHAPE, 0.5, np.float32), "lb.tif: expected whole numbers as labels. Received: 72 voxels"),
        (
            "lc.tif",
            np.full(SHAPE, np.nan, np.float32),
            "lc.tif: expected whole numbers",
        ),  # also of another split: classes are counted over all
    ],
)
def test_labels_that_do_not_fit_are_named_at_once(table, file, array, message):
    write_pages(table.parent / file, array)
    with pytest.raises(ValueError, match=message):
        from_csv(table, "train")


@pytest.mark.parametrize(
    ("file", "array", "options", "message"),
    [
        ("b.tif", np.full(SHAPE, np.nan, np.float32), {}, "b.tif: expected finite intensities. Received: 72 voxels"),
        (
            "b.tif",
            np.full(SHAPE, 7, np.uint8),
            {},
            "b.tif: expected an image with contrast. Received: 7 in every voxel",
        ),
        (
            "b.tif",
            noise(SHAPE, "uint16") * 300,
            {"intensity": "fixed:0:256"},
            "b.tif: holds 16-bit values up to .* such as fixed:0:65536",
        ),
        (
            "b.tif",
            np.float32(np.indices(SHAPE)[1] == 0),
            {"intensity": "quantile:0.5:0.6"},
            "b.tif: the rule 'quantile:0.5:0.6' needs contrast",
        ),
        (
            "lb.tif",
            np.zeros(SHAPE, np.uint8),
            {},
            "lb.tif: expected labels above 0. Received: background in every voxel",
        ),
        (
            "lb.tif",
            blob(SHAPE, 3) * 10,
            {"classes": 3},
            r"lb.tif: expected labels from 0 to 2 \(3 classes\). Received:"
            r" up to 20",
        ),
        ("lb.tif", np.full(SHAPE, -1, np.int32), {}, "lb.tif: expected labels from 0 on. Received: -1"),
        (
            "lb.tif",
            blob(SHAPE, 3) + np.uint8(2),
            {"label_map": {1: 1, 2: 1}},
            "lb.tif: holds labels that the label map leaves out: 3, 4. Map",
        ),
        ("lb.tif", blob(SHAPE, 3), {"label_map": {1: 0, 2: 0}}, "l[ab].tif: expected labels above 0"),
    ],
)
def test_bad_voxels_are_named_when_they_are_read(table, file, array, options, message):
    write_pages(table.parent / file, array)
    with pytest.raises(ValueError, match=message):
        from_csv(table, "train", **options).check()


def test_sizes_that_differ_need_a_fit(table):
    write_pages(table.parent / "b.tif", noise((7, 9)))
    write_pages(table.parent / "lb.tif", blob((7, 9)))
    with pytest.raises(
        ValueError,
        match=r"b.tif has shape \(7, 9\). Expected \(8, 9\), as .*a.tif has. Sizes that differ are centred with",
    ):
        from_csv(table, "train")
    with pytest.raises(ValueError, match=r"a.tif has shape \(8, 9\). Expected \(7, 9\), as asked"):
        from_csv(table, "train", shape=(7, 9))
    assert from_csv(table, "train", fit="pad").shape == (8, 9)


def test_dimensions_do_not_mix(table):
    write_pages(table.parent / "b.tif", noise((3, *SHAPE)))
    write_pages(table.parent / "lb.tif", blob((3, *SHAPE)))
    with pytest.raises(
        ValueError, match=r"b.tif is 3-D, .*a.tif 2-D. Expected images of one dimension in a file; with slices=True"
    ):
        from_csv(table, fit="pad")
    assert len(from_csv(table, slices=True)) == 5


@pytest.mark.parametrize(
    "options", [{"shape": (8, 9, 3)}, {"shape": (8, 9, 3), "fit": "pad"}, {"shape": (8, 9, 3), "fit": "resample"}]
)
def test_a_shape_of_another_dimension_is_refused(table, options):
    with pytest.raises(
        ValueError, match=r"a.tif has shape \(8, 9\), which does not fit shape=\(8, 9, 3\): the number of axes differs"
    ):
        from_csv(table, **options)


@pytest.mark.parametrize("shape", [(8,), (8, 0), (8, -9), 8, "8,9", ()])
def test_a_shape_that_is_none_is_refused(table, shape):
    with pytest.raises(ValueError, match="shape must be the spatial shape of 2-D or 3-D images"):
        from_csv(table, shape=shape, fit="pad")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"intensity": "zscore"}, "Unknown intensity rule 'zscore'. Available: minmax"),
        ({"fit": "crop"}, "Unknown fit 'crop'. Available: pad, resample"),
        ({"split": "dev"}, "Unknown split 'dev'. Available: train, val, test"),
        ({"split": "test"}, "own.csv has no row with split 'test'. Expected at least one"),
        ({"label_map": "map.csv"}, "No file map.csv"),
    ],
)
def test_unknown_arguments_are_refused(table, options, message):
    with pytest.raises(ValueError, match=message):
        from_csv(table, **options)


def test_a_split_needs_its_column(table):
    table.write_text("image\na.tif\n")
    with pytest.raises(
        ValueError,
        match="own.csv has no column split. Add it, with train, val or test in each row, to use split='train'",
    ):
        from_csv(table, "train")


def test_a_pair_that_names_a_missing_file_is_refused(table):
    table.write_text("moving,fixed\na.tif,b.tif\na.tif,d.tif\nd.tif,b.tif\n")
    with pytest.raises(
        ValueError,
        match=r"own.csv, line 3: no file .*d.tif \(fixed\). .*\(1 more problems in csv .*own.csv: `deepsim check`",
    ):
        from_csv(table)


def test_two_label_files_of_one_image_are_refused(table):
    table.write_text("moving,fixed,moving_labels,fixed_labels\na.tif,b.tif,la.tif,lb.tif\na.tif,c.tif,lc.tif,lc.tif\n")
    with pytest.raises(
        ValueError, match="a.tif is listed with the labels .*la.tif and .*lc.tif. Expected one label file for an image"
    ):
        from_csv(table)


def test_stacks_of_a_pair_need_as_many_slices(table):
    write_pages(table.parent / "a.tif", noise((3, *SHAPE)))
    write_pages(table.parent / "b.tif", noise((2, *SHAPE)))
    table.write_text("moving,fixed\na.tif,b.tif\n")
    with pytest.raises(
        ValueError, match=r"a.tif has 3 slices, .*b.tif 2. Expected as many in both: slice k is registered to slice k"
    ):
        from_csv(table, slices=True)


@pytest.mark.parametrize(
    ("spacing", "origin", "fit", "message"),
    [
        (
            (-1, 1, 1),
            0,
            None,
            r"b.nii is oriented LAS, .*a.nii RAS. Expected one orientation: .*nibabel.as_closest_canonical",
        ),
        (
            (1, 1, 2),
            0,
            "pad",
            r"b.nii has voxels of \(1.0, 1.0, 2.0\) mm, .*a.nii of \(1.0, 1.0, 1.0\) mm. Expected one size",
        ),
        ((1, 1, 2), 0, "resample", None),
        ((1, 1, 1), 40, None, None),  # subjects may lie anywhere in the world
    ],
)
def test_volumes_of_another_orientation_or_voxel_size_are_refused(tmp_path, spacing, origin, fit, message):
    write_nifti(tmp_path / "a.nii", noise((4, 5, 6)))
    write_nifti(tmp_path / "b.nii", noise((4, 5, 6)), spacing=spacing, origin=(origin,) * 3)
    (tmp_path / "own.csv").write_text("image\na.nii\nb.nii\n")
    if message is None:
        assert len(from_csv(tmp_path / "own.csv", fit=fit)) == 2
    else:
        with pytest.raises(ValueError, match=message):
            from_csv(tmp_path / "own.csv", fit=fit)


def test_labels_of_another_affine_than_their_image_are_refused(tmp_path):
    write_nifti(tmp_path / "a.nii", noise((4, 5, 6)))
    write_nifti(tmp_path / "la.nii", blob((4, 5, 6)), origin=(0, 1, 0))
    (tmp_path / "own.csv").write_text("image,labels\na.nii,la.nii\n")
    with pytest.raises(
        ValueError, match="a.nii and .*la.nii have different affines .*nibabel.processing.resample_from_to"
    ):
        from_csv(tmp_path / "own.csv")


def test_slices_of_images_and_volumes_compare_their_planes(tmp_path):
    write_nifti(tmp_path / "a.nii", noise((4, 5, 6)))
    nibabel.save(nibabel.Nifti1Image(noise((5, 6)), np.eye(4)), tmp_path / "b.nii")
    (tmp_path / "own.csv").write_text("image\na.nii\nb.nii\n")
    assert len(from_csv(tmp_path / "own.csv", slices=True)) == 5


@pytest.mark.parametrize("array", [noise(SHAPE).astype(complex), noise(SHAPE).astype("U3")])
def test_what_is_no_real_number_is_refused(table, array):
    write_any(table.parent / "d.npy", array)
    for text in ("image\nd.npy\n", "image,labels\na.tif,d.npy\n"):
        table.write_text(text)
        with pytest.raises(
            ValueError, match="d.npy: expected (real intensities|whole numbers as labels). Received: (complex128|<U3)"
        ):
            from_csv(table)[0]


def test_problems_are_collected_where_no_row_is_left(table):
    write_pages(table.parent / "b.tif", noise((7, 9)))
    table.write_text("moving,fixed\na.tif,b.tif\nc.tif,d.tif\n")
    problems = []
    assert len(from_csv(table, problems=problems)) == 0
    assert len(problems) == 2 and "d.tif" in problems[0] and "b.tif has shape" in problems[1]
