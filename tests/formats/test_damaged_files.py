"""Whatever is wrong with a file ends in one sentence that names it, and never in an array that is silently wrong."""

import pickle

import nibabel
import numpy as np
import pytest
from PIL import Image
from writers import noise, write_any, write_nifti, write_pages

from deepsim_tf.formats import read_header, read_volume

VOLUME = noise((5, 6, 7))


def right_or_refused(path, array):
    try:
        return np.array_equal(read_volume(path)[..., 0], array)
    except ValueError as error:
        return str(error).startswith("Cannot read") and path.name in str(error)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mgz", ".mgh", ".npy", ".npz"])
def test_a_file_cut_anywhere_never_comes_back_wrong(tmp_path, suffix):
    path = write_any(tmp_path / f"a{suffix}", VOLUME)
    content = path.read_bytes()
    for kept in {*range(0, len(content), max(len(content) // 120, 1)), *range(len(content) - 8, len(content))}:
        path.write_bytes(content[:kept])
        assert right_or_refused(path, VOLUME), f"{kept} of {len(content)} bytes"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=f"Cannot read .*a{suffix} .*bytes.* seems truncated or damaged"):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mgz", ".npz"])
def test_a_flipped_bit_in_a_file_with_a_checksum_is_caught(tmp_path, suffix):
    path = write_any(tmp_path / f"a{suffix}", VOLUME)
    content = path.read_bytes()
    for position in range(0, len(content), max(len(content) // 150, 1)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 16]) + content[position + 1 :])
        assert right_or_refused(path, VOLUME), f"byte {position} of {len(content)}"


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.3, 0.6, 0.9, 0.98])
def test_a_truncated_picture_is_named(tmp_path, suffix, kept):
    path = write_pages(
        tmp_path / f"t013.{suffix}",
        noise((64, 64), high=255),
        **({"compression": "tiff_lzw"} if suffix == "tif" else {}),
    )
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=f"Cannot read .*t013.{suffix}.* seems truncated"):
        read_volume(path)


@pytest.mark.filterwarnings("ignore:.*(Truncated|Corrupt)")  # Pillow's
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_a_stack_cut_anywhere_never_comes_back_short(tmp_path, compression):
    # Pillow alone returns one or two of the three pages for every tenth length. Where only padding or metadata was cut,
    # all are there.
    array = noise((3, 16, 16), high=255)
    path = write_pages(tmp_path / "stack.tif", array, compression=compression)
    content = path.read_bytes()
    for kept in range(0, len(content), 5):
        path.write_bytes(content[:kept])
        assert right_or_refused(path, array), f"{kept} of {len(content)} bytes"


class Harmful:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "plain.npy", "plain.npz"])
@pytest.mark.parametrize("read", [read_volume, read_header])
def test_pickled_objects_are_refused_and_not_executed(tmp_path, name, read):
    path, objects = tmp_path / name, np.array([[Harmful(tmp_path / "harm")] * 2] * 2, dtype=object)
    if name.startswith("plain"):
        path.write_bytes(pickle.dumps(objects))
    else:
        write_any(path, objects)
    with pytest.raises(ValueError, match=f"Cannot read .*{name}.*expected a NumPy array without pickled objects"):
        read(path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("read", [read_volume, read_header])
@pytest.mark.parametrize(
    ("name", "axes"),
    [
        ("a.nii.gz", r"x, y, z, time; nibabel takes one out with image.slicer\[..., 0\]. Where the last axis holds"),
        ("a.nii", r"x, y, z, time; .* say so in a NIfTI file: intent 1007 .vector., or the channels on the fifth axis"),
        ("a.mgz", "x, y, z, time; .* say so in a NIfTI file"),
        ("a.npy", "z, y, x, unknown. Where the last one holds channels, say how many .channels=, --channels."),
        ("a.npz", "z, y, x, unknown. Where the last one holds channels"),
    ],
)
def test_a_fourth_axis_is_refused(tmp_path, name, axes, read):
    write_any(tmp_path / name, noise((4, 5, 6, 2)))
    expected = "Expected a 2-D or 3-D image: take one volume out of it. Its axes are"
    with pytest.raises(ValueError, match=rf"{name} holds an array of shape \(4, 5, 6, 2\). {expected} {axes}"):
        read(tmp_path / name)


@pytest.mark.parametrize("array", [np.float32(3), np.arange(5.0), np.zeros((4, 0))])
def test_an_array_that_is_no_image_is_refused(tmp_path, array):
    with pytest.raises(ValueError, match="a.npy holds an array of shape .* Expected a 2-D or 3-D image"):
        read_volume(write_any(tmp_path / "a.npy", array))


def test_pages_of_different_shapes_are_refused(tmp_path):
    Image.new("L", (4, 5)).save(tmp_path / "a.tif", save_all=True, append_images=[Image.new("L", (4, 6))])
    with pytest.raises(
        ValueError,
        match=r"a.tif has pages of shapes \[\(5, 4\), \(6, 4\)\]. Expected pages \(rows, columns\) of one shape",
    ):
        read_volume(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.nii.gz", "a NIfTI image"),
        ("a.nii", "a NIfTI image"),
        ("a.mgz", "an MGZ image"),
        ("a.tif", "a PNG or TIFF image"),
        ("a.png", "a PNG or TIFF image"),
        ("a.npy", "a NumPy array"),
        ("a.npz", "a NumPy array"),
    ],
)
@pytest.mark.parametrize("content", [b"", b"no image\n" * 100])
@pytest.mark.parametrize("read", [read_volume, read_header])
def test_a_renamed_text_file_is_no_image(tmp_path, name, expected, content, read):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(
        ValueError, match=rf"Cannot read .*{name} \({len(content)} bytes\): expected {expected}.*copy it again"
    ):
        read(tmp_path / name)


@pytest.mark.parametrize("read", [read_volume, read_header])
def test_another_ending_a_missing_file_and_a_folder_are_refused(tmp_path, read):
    (tmp_path / "folder.tif").mkdir()
    for name, message in (
        ("scan.jpg", r"Cannot read .*scan.jpg: expected a file that ends in .nii.gz, .nii, .mgz.*Received: .jpg"),
        ("scan", "Received: no ending"),
        ("b.tif", "No file .*b.tif. Expected an image there"),
        ("folder.tif", "No file .*folder.tif"),
    ):
        with pytest.raises(ValueError, match=message):
            read(tmp_path / name)


def test_an_npz_of_several_arrays_needs_the_known_names(tmp_path):
    np.savez(tmp_path / "a.npz", image=VOLUME, age=71)
    with pytest.raises(
        ValueError, match=r"a.npz holds the arrays \['image', 'age'\]. Expected one array, or one named labels or seg"
    ):
        read_volume(tmp_path / "a.npz", kind="labels")


@pytest.mark.parametrize(
    ("name", "written"),
    [("a.nii.gz", "b.nii"), ("a.nii", "b.nii.gz"), ("a.npz", "b.npy"), ("a.npy", "b.npz"), ("a.mgz", "b.nii.gz")],
)
def test_the_wrong_ending_is_refused(tmp_path, name, written):
    write_any(tmp_path / written, VOLUME).rename(tmp_path / name)
    with pytest.raises(ValueError, match=f"Cannot read .*{name}"):
        read_volume(tmp_path / name)


def test_the_sentence_is_one_line(tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", VOLUME, kind=nibabel.Nifti2Image)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="Cannot read") as caught:
        read_volume(path)
    assert "\n" not in str(caught.value)
