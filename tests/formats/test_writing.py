"""Images that are written come back, with their channels, or the format is refused with those that can hold them."""

import nibabel
import numpy as np
import pytest
from PIL import Image
from writers import noise

from deepsim_tf.formats import FORMATS, read_header, read_volume, result_suffix, write_image

GREY, COLOURS, TWO = noise((8, 9, 1)), noise((8, 9, 3), high=256), noise((5, 8, 9, 2), "float32")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mgz", ".tif", ".tiff", ".png", ".npy"])
def test_a_grey_image_is_stored_without_an_axis_of_channels(tmp_path, suffix):
    write_image(GREY, tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read_volume(tmp_path / f"a{suffix}"), GREY)
    stored = {
        ".npy": lambda path: np.load(path).shape,
        ".png": lambda path: np.asarray(Image.open(path)).shape,
        ".nii.gz": lambda path: nibabel.load(path).shape,
    }
    if suffix in stored:
        assert stored[suffix](tmp_path / f"a{suffix}") == (8, 9)


@pytest.mark.parametrize(
    ("image", "suffixes"),
    [
        (COLOURS, (".nii.gz", ".tif", ".png", ".npy")),
        (noise((4, 8, 9, 3), high=256), (".nii", ".tif", ".npy")),
        (TWO, (".nii.gz", ".npy")),
    ],
)
def test_channels_come_back(tmp_path, image, suffixes):
    for suffix in suffixes:
        path, channels = tmp_path / f"a{suffix}", image.shape[-1]
        write_image(image, path)
        assert read_header(path, channels=channels).channels == channels
        np.testing.assert_array_equal(read_volume(path, channels=channels), image)


def test_a_nifti_holds_channels_as_a_vector_beside_its_reference(tmp_path):
    affine = np.array([[0, -2, 0, 5], [0.6, 0, -4, 6], [0.8, 0, 3, 7], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(noise((5, 8, 9), "int16"), affine), tmp_path / "reference.nii.gz")
    write_image(TWO, tmp_path / "a.nii.gz", reference=tmp_path / "reference.nii.gz")
    written = nibabel.load(tmp_path / "a.nii.gz")
    assert written.shape == (5, 8, 9, 1, 2) and written.header.get_intent()[0] == "vector"
    np.testing.assert_allclose(written.affine, affine, atol=1e-6)
    assert written.get_data_dtype() == np.float32


@pytest.mark.parametrize(
    ("image", "name", "message"),
    [
        (TWO, "a.tif", ".tif holds 1 or 3 channels. Received: 2. Choose .nii.gz or .npy."),
        (TWO, "a.mgz", ".mgz holds 1 channel. Received: 2. Choose .nii.gz or .npy."),
        (TWO, "a.png", r"PNG holds no volume of shape \(5, 8, 9\). Choose .nii.gz or .npy."),
        (noise((5, 8, 9, 1)), "a.png", r"PNG holds no volume .* Choose .nii.gz, .mgz, .tif or .npy."),
        (COLOURS.astype("float32"), "a.tif", ".tif holds uint8 in images of 3 channels. Received: float32. Choose"),
        (GREY.astype("float32"), "a.png", ".png holds uint8, uint16. Received: float32. Choose .nii.gz, .mgz, .tif or"),
        (np.full((8, 9, 1), 2**40), "a.tif", "holds uint8, uint16, int32, float32. Received: int64. Choose .npy."),
        (np.full((8, 9, 1), 2**40), "a.nii.gz", "Received: int64. Choose .npy."),
        (GREY, "a.jpg", "Cannot write .*a.jpg: expected a name that ends in .nii.gz, .nii, .mgz, .tif, .tiff, .png"),
        (GREY, "a.mgh", "expected a name that ends in"),
    ],
)
def test_a_format_that_cannot_hold_an_image_is_refused_with_those_that_can(tmp_path, image, name, message):
    with pytest.raises(ValueError, match=f"Cannot write .*{name}: .*{message}|{message}"):
        write_image(image, tmp_path / name)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("dtype", "suffix", "expected"),
    [
        ("bool", ".tif", "uint8"),
        ("int8", ".tif", "int32"),
        ("uint32", ".tif", "int32"),
        ("int64", ".nii.gz", "int32"),
        ("float16", ".nii.gz", "float32"),
        ("float64", ".mgz", "float32"),
        ("float64", ".nii.gz", "float64"),
        ("uint16", ".mgz", "int32"),
        ("int64", ".npy", "int64"),
    ],
)
def test_a_dtype_is_widened_where_a_format_has_none_such(tmp_path, dtype, suffix, expected):
    array = noise((8, 9, 1), dtype, high=2 if dtype == "bool" else 100)
    write_image(array, tmp_path / f"a{suffix}")
    found = read_volume(tmp_path / f"a{suffix}")
    assert found.dtype.newbyteorder("=") == expected
    np.testing.assert_array_equal(found, array)


def test_results_beside_a_file_have_its_format_or_one_that_holds_them():
    for name, expected in (("a.nii", ".nii.gz"), ("a.mgh", ".mgz"), ("a.png", ".tif"), ("a.TIFF", ".tif")):
        assert result_suffix(name) == result_suffix(name, GREY.astype("float32")) == expected
    assert result_suffix("a.npz") == ".npy"
    assert (result_suffix("a.tif", TWO), result_suffix("a.mgz", TWO)) == (".npy", ".nii.gz")
    assert result_suffix("a.png", COLOURS) == ".tif"


def test_every_ending_belongs_to_one_format_which_says_how_it_is_read():
    endings = [suffix for known in FORMATS for suffix in known.suffixes]
    assert len(endings) == len(set(endings)) == 9
    for known in FORMATS:
        assert known.name.startswith(("a ", "an ")) and callable(known.open) and known.axes
        assert bool(known.written) == (known.write is not None) and set(known.written) <= set(known.suffixes)
        assert any(known.result in other.written for other in FORMATS)
