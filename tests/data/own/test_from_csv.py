"""ds.data.from_csv: what the images of a CSV file become. Its bad input is in test_from_csv_refused.py."""

import numpy as np
import pytest
from writers import blob, noise, write_any, write_nifti, write_pages

from deepsim_tf.data import from_csv

SHAPE = (8, 9, 10)


def write_table(folder, text):
    (folder / "own.csv").write_text(text)
    return folder / "own.csv"


@pytest.fixture
def volumes(tmp_path):
    """Five volumes a to e with labels la to le, in all formats of volumes."""
    for seed, (name, suffix) in enumerate(zip("abcde", (".nii.gz", ".mgz", ".tif", ".npy", ".nii"))):
        write_any(tmp_path / f"{name}{suffix}", noise(SHAPE, seed=seed))
        write_any(tmp_path / f"l{name}{suffix}", blob(SHAPE, 3 + (name == "e")))
    return tmp_path


def expected(seed):
    raw = noise(SHAPE, seed=seed).astype(float)
    return (raw - raw.min()) / (raw.max() - raw.min())


def test_formats_mix_in_a_list_of_images(volumes):
    rows = ["a.nii.gz,la.nii.gz", "b.mgz,lb.mgz", "c.tif,lc.tif", "d.npy,ld.npy", "e.nii,le.nii"]
    images = from_csv(write_table(volumes, "image,labels\n" + "\n".join(rows)))
    for seed in range(5):
        np.testing.assert_allclose(images[seed][0][..., 0], expected(seed), atol=1e-6)
        np.testing.assert_array_equal(images[seed][1], blob(SHAPE, 3 + (seed == 4)))
    assert (images.name, images.split, images.shape, images.classes, images.intensity) == (
        "own",
        "all",
        SHAPE,
        4,
        "minmax",
    )
    assert images.names == ["a.nii.gz", "b.mgz", "c.tif", "d.npy", "e.nii"]


def test_two_dimensional_formats_mix_too(tmp_path):
    for name in ("a.png", "b.tif", "c.npy", "d.npz", "e.nii.gz"):
        write_any(tmp_path / name, noise((8, 9)))
    images = from_csv(write_table(tmp_path, "image\na.png\nb.tif\nc.npy\nd.npz\ne.nii.gz\n"), intensity="fixed:0:256")
    for image, labels in images:
        np.testing.assert_array_equal(image[..., 0], noise((8, 9)) / np.float32(256))
        assert labels is None
    assert images.classes is None and images.shape == (8, 9)


def test_one_npz_may_hold_an_image_and_its_labels(tmp_path):
    np.savez(tmp_path / "a.npz", vol=noise(SHAPE), seg=blob(SHAPE, 3))
    image, labels = from_csv(write_table(tmp_path, "image,labels\na.npz,a.npz\n"))[0]
    np.testing.assert_allclose(image[..., 0], expected(0), atol=1e-6)
    np.testing.assert_array_equal(labels, blob(SHAPE, 3))


def test_a_list_of_images_is_paired_as_the_papers_subjects(volumes):
    rows = "image,split\na.nii.gz,train\nb.mgz,val\nc.tif,train\nd.npy,train\ne.nii,val\n"
    table = write_table(volumes, rows)
    assert from_csv(table, "train").pairs() == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    assert from_csv(table, "val").names == ["b.mgz", "e.nii"] and from_csv(table, "val").pairs() == [(0, 1), (1, 0)]
    assert len(from_csv(table).pairs()) == 5 * 4


def test_rows_of_pairs_are_the_pairs(volumes):
    table = write_table(volumes, "moving,fixed\na.nii.gz,b.mgz\nc.tif,a.nii.gz\na.nii.gz,d.npy\n")
    images = from_csv(table)
    assert images.names == ["a.nii.gz", "b.mgz", "c.tif", "d.npy"] and images.atlas is None
    assert images.pairs() == [(0, 1), (2, 0), (0, 3)]


def test_one_fixed_image_of_all_rows_is_the_atlas(volumes):
    rows = "moving,moving_labels,fixed,fixed_labels,split\n" + "".join(
        f"{name},l{name},e.nii,le.nii,{split}\n"
        for name, split in (("a.nii.gz", "train"), ("b.mgz", "train"), ("c.tif", "val"))
    )
    images = from_csv(write_table(volumes, rows), "val")
    assert images.names == ["c.tif"] and images.pairs() == [(0, None)]
    fixed, fixed_labels = images.pair(0)[1::2]
    np.testing.assert_allclose(fixed[..., 0], expected(4), atol=1e-6)
    np.testing.assert_array_equal(fixed_labels, blob(SHAPE, 4))


def test_a_fixed_image_that_moves_too_is_no_atlas(volumes):
    images = from_csv(write_table(volumes, "moving,fixed\na.nii.gz,b.mgz\nb.mgz,b.mgz\n"))
    assert images.atlas is None and images.pairs() == [(0, 1), (1, 1)]


def test_classes_are_counted_over_all_splits(volumes):
    table = write_table(volumes, "image,labels,split\na.nii.gz,la.nii.gz,train\ne.nii,le.nii,test\n")
    assert from_csv(table, "train").classes == from_csv(table, "test").classes == 4
    assert from_csv(table, "train", classes=9).classes == 9


@pytest.mark.parametrize("as_file", [False, True])
def test_a_label_map_merges_and_drops(tmp_path, as_file):
    labels = np.array([[0, 2, 17, 53], [53, 17, 2, 4]], np.uint8)
    write_pages(tmp_path / "a.png", noise((2, 4)))
    write_pages(tmp_path / "la.png", labels)
    (tmp_path / "map.csv").write_text("label,class\n17,1\n53,1\n4,2\n2,0\n")
    label_map = tmp_path / "map.csv" if as_file else {17: 1, 53: 1, 4: 2, 2: 0}
    images = from_csv(write_table(tmp_path, "image,labels\na.png,la.png\n"), label_map=label_map)
    np.testing.assert_array_equal(images[0][1], [[0, 0, 1, 1], [1, 1, 0, 2]])
    assert images.classes == 3


def test_slices_make_a_stack_a_series_of_neighbours(tmp_path):
    for name, pages in (("a.tif", 3), ("b.tif", 2), ("c.tif", 1)):
        write_pages(tmp_path / name, noise((pages, 8, 9)))
    table = write_table(tmp_path, "image,split\na.tif,val\nb.tif,val\nc.tif,val\n")
    images = from_csv(table, "val", slices=True, intensity="none")
    assert images.names == ["a.tif/000", "a.tif/001", "a.tif/002", "b.tif/000", "b.tif/001", "c.tif"]
    assert images.pairs() == [(0, 1), (1, 2), (3, 4)]  # never from one stack to the next
    np.testing.assert_array_equal(images[2][0][..., 0], noise((3, 8, 9))[2])
    assert images.shape == (8, 9) and images.spacing == (1, 1)
    assert from_csv(table, slices=True).pairs()[:6] == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]


def test_slices_of_pairs_go_to_the_slice_of_the_same_number(tmp_path):
    for name in "ab":
        write_nifti(tmp_path / f"{name}.nii.gz", noise(SHAPE), spacing=(3, 2, 1))
    images = from_csv(write_table(tmp_path, "moving,fixed\na.nii.gz,b.nii.gz\n"), slices=True)
    assert images.pairs() == [(k, k + 8) for k in range(8)] and images.spacing == (2, 1)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"fit": "pad"}, (9, 12)),  # the largest
        ({"fit": "resample"}, (7, 10)),  # the median
        ({"fit": "pad", "shape": (8, 8)}, (8, 8)),
        ({"fit": "resample", "shape": [4, 6]}, (4, 6)),
    ],
)
def test_sizes_that_differ_come_to_one_grid(tmp_path, options, shape):
    for name, size in (("a", (9, 8)), ("b", (7, 12)), ("c", (6, 10))):
        write_pages(tmp_path / f"{name}.png", noise(size))
        write_pages(tmp_path / f"l{name}.png", blob(size, 3))
    images = from_csv(write_table(tmp_path, "image,labels\na.png,la.png\nb.png,lb.png\nc.png,lc.png\n"), **options)
    assert (images.shape, images.fit) == (shape, options["fit"])
    assert all(image.shape == (*shape, 1) and labels.shape == shape for image, labels in images)
    if options == {"fit": "pad"}:
        np.testing.assert_array_equal(images[1][1], np.pad(blob((7, 12), 3), ((1, 1), (0, 0))))


def test_resampling_changes_the_spacing(tmp_path):
    write_nifti(tmp_path / "a.nii.gz", noise((8, 8, 8)), spacing=(1, 2, 3))
    images = from_csv(write_table(tmp_path, "image\na.nii.gz\n"), fit="resample", shape=(4, 8, 16))
    assert images.spacing == (2, 2, 1.5)
    assert from_csv(tmp_path / "own.csv", fit="pad", shape=(4, 8, 16)).spacing == (1, 2, 3)


def test_candidates_of_many_images_are_bounded(tmp_path):
    names = [f"{k}.npy" for k in range(203)]
    for name in names:
        np.save(tmp_path / name, noise((2, 2)))
    pairs = from_csv(write_table(tmp_path, "image\n" + "\n".join(names))).pairs()
    assert len(pairs) == 203 * 200 and all(i != j for i, j in pairs) and len(set(pairs)) == len(pairs)
    assert {j for i, j in pairs if i == 202} == set(range(200))


def test_a_folder_is_listed_relative_to_the_table(tmp_path):
    write_nifti(tmp_path / "s1" / "T1.nii.gz", noise(SHAPE))
    write_nifti(tmp_path / "s2" / "T1.nii.gz", noise(SHAPE))
    table = write_table(tmp_path, f"image\ns1/T1.nii.gz\n{tmp_path}/s2/T1.nii.gz\n")
    assert from_csv(table).names == from_csv(str(table)).names == ["s1/T1.nii.gz", "s2/T1.nii.gz"]
