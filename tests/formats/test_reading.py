"""Every format is read exactly as another library, or this file byte by byte, wrote it."""

import gzip
import struct

import nibabel
import numpy as np
import pytest
from PIL import Image
from writers import noise, write_any, write_nifti, write_pages

from deepsim_tf.formats import read_header, read_volume

VOLUME = noise((5, 6, 7))


def assert_exact(path, array):
    found = read_volume(path)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array[..., None])
    header = read_header(path)
    assert (header.shape, header.dtype) == (array.shape, array.dtype)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_a_nifti_comes_back_as_it_was_written(tmp_path, dtype, suffix, kind):
    assert_exact(write_nifti(tmp_path / f"a{suffix}", VOLUME.astype(dtype), kind=kind), VOLUME.astype(dtype))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32"])
@pytest.mark.parametrize("suffix", [".mgz", ".mgh"])
def test_an_mgz_comes_back_as_it_was_written(tmp_path, dtype, suffix):
    path = write_nifti(tmp_path / f"a{suffix}", VOLUME.astype(dtype), kind=nibabel.MGHImage)
    np.testing.assert_array_equal(read_volume(path)[..., 0], VOLUME.astype(dtype))
    assert read_volume(path).dtype.newbyteorder("=") == dtype and read_header(path).shape == VOLUME.shape


def test_a_nifti_of_the_other_byte_order_is_read(tmp_path):
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    nibabel.save(nibabel.Nifti1Image(VOLUME.astype(np.int16), np.eye(4), header), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz")[..., 0], VOLUME)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_the_files_own_slope_is_applied(tmp_path, suffix):
    content = bytearray(write_nifti(tmp_path / "a.nii", VOLUME).read_bytes())
    content[112:120] = struct.pack("<2f", 0.5, -10)  # scl_slope and scl_inter of the NIfTI-1 header
    (tmp_path / f"a{suffix}").write_bytes(gzip.compress(content) if suffix == ".nii.gz" else content)
    found = read_volume(tmp_path / f"a{suffix}")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[..., 0], VOLUME * np.float32(0.5) - 10)


@pytest.mark.parametrize(
    ("stored", "shape"),
    [((5, 6, 7, 1), (5, 6, 7)), ((5, 6, 1), (5, 6)), ((5, 6, 1, 1), (5, 6)), ((5, 6), (5, 6)), ((1, 6, 7), (1, 6, 7))],
)
def test_trailing_axes_of_one_are_dropped(tmp_path, stored, shape):
    array = noise(stored)
    path = write_nifti(tmp_path / "a.nii.gz", array, spacing=(1, 2, 3))
    np.testing.assert_array_equal(read_volume(path)[..., 0], array.reshape(shape))
    header = read_header(path)
    assert header.shape == shape and header.spacing == (1, 2, 3)[: len(shape)]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "bool"])
@pytest.mark.parametrize("shape", [(12, 15), (3, 12, 15)])
def test_a_tiff_comes_back_as_it_was_written(tmp_path, shape, dtype):
    array = noise(shape, dtype)
    compression = "group4" if dtype == "bool" else "tiff_lzw"
    assert_exact(write_pages(tmp_path / "a.tif", array, compression=compression), array)


def tiff(order, bits, sample_format, pixels):
    """A one-page TIFF (1, n) written by hand from the specification: header, pixels, one directory."""
    number = {"<": "little", ">": "big"}[order]
    width, data = len(pixels) // (bits // 8), pixels + b"\0" * (len(pixels) % 2)
    tags = [
        (256, width),
        (257, 1),
        (258, bits),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, 1),
        (279, len(pixels)),
        (339, sample_format),
    ]
    start = (
        {"<": b"II", ">": b"MM"}[order]
        + (42).to_bytes(2, number)
        + (8 + len(data)).to_bytes(4, number)
        + data
        + len(tags).to_bytes(2, number)
    )
    entries = (
        t.to_bytes(2, number) + (4).to_bytes(2, number) + (1).to_bytes(4, number) + value.to_bytes(4, number)
        for t, value in tags
    )  # 4: LONG
    return start + b"".join(entries) + bytes(4)


# Pillow refuses unsigned 32 bits of that order: ">u4" is missing.
@pytest.mark.parametrize(
    "dtype", ["<u1", "<i1", "<u2", "<i2", "<u4", "<i4", "<f4", ">u1", ">i1", ">u2", ">i2", ">i4", ">f4"]
)
def test_signed_unsigned_and_both_byte_orders_of_tiff_are_told_apart(tmp_path, dtype):
    ends = [0, 1, 1.5] if "f" in dtype else [np.iinfo(dtype).min, 1, np.iinfo(dtype).max]
    array, sample_format = np.array([ends], dtype), {"u": 1, "i": 2, "f": 3}[dtype[1]]
    (tmp_path / "a.tif").write_bytes(tiff(dtype[0], array.itemsize * 8, sample_format, array.tobytes()))
    np.testing.assert_array_equal(read_volume(tmp_path / "a.tif")[..., 0], array)
    assert read_header(tmp_path / "a.tif").dtype.kind == array.dtype.kind


@pytest.mark.parametrize("dtype", ["<f8", "<f2", ">u4"])
def test_a_tiff_that_pillow_does_not_know_is_not_called_damaged(tmp_path, dtype):
    array = np.array([[0, 1, 2, 3]], dtype)
    (tmp_path / "a.tif").write_bytes(tiff(dtype[0], array.itemsize * 8, {"f": 3, "u": 1}[dtype[1]], array.tobytes()))
    with pytest.raises(
        ValueError, match="Cannot read .*a.tif: a TIFF of a kind that Pillow does not know.* Save it with 8 or 16 bits"
    ):
        read_volume(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "bool"])
def test_a_png_comes_back_as_it_was_written(tmp_path, dtype):
    array = noise((12, 15), dtype, high=2 if dtype == "bool" else 200)
    assert_exact(write_pages(tmp_path / "a.png", array), array)


def test_a_palette_png_is_its_indices_as_labels_and_refused_as_an_image(tmp_path):
    labels = Image.fromarray(noise((12, 15), high=4))
    labels.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    labels.save(tmp_path / "labels.png")
    np.testing.assert_array_equal(read_volume(tmp_path / "labels.png", kind="labels"), noise((12, 15), high=4))
    with pytest.raises(ValueError, match="labels.png has indexed colours .* Expected grey intensities"):
        read_volume(tmp_path / "labels.png")


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float64", ">u2"])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_numpy_array_comes_back_as_it_was_written(tmp_path, suffix, dtype):
    for array in (VOLUME.astype(dtype), np.asfortranarray(VOLUME[0].astype(dtype))):
        assert_exact(write_any(tmp_path / f"a{suffix}", array), array)


@pytest.mark.parametrize(("image", "labels"), [("image", "labels"), ("vol", "seg")])
def test_an_npz_may_hold_image_and_labels(tmp_path, image, labels):
    np.savez(tmp_path / "a.npz", **{image: VOLUME, labels: VOLUME % 3, "age": 71})
    np.testing.assert_array_equal(read_volume(tmp_path / "a.npz")[..., 0], VOLUME)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.npz", kind="labels"), VOLUME % 3)
    assert read_header(tmp_path / "a.npz", kind="labels").shape == VOLUME.shape


@pytest.mark.parametrize("suffix", [".nii.gz", ".mgz", ".tif", ".npy", ".npz"])
def test_one_slice_of_a_stack_is_one_page(tmp_path, suffix):
    path = write_any(tmp_path / f"a{suffix}", VOLUME)
    for page in (0, 4):
        np.testing.assert_array_equal(read_volume(path, page=page)[..., 0], VOLUME[page])
    with pytest.raises(ValueError, match=f"Cannot read .*a{suffix}.*(slice 5 of 5|there is no page 5)"):
        read_volume(path, page=5)


def test_an_ending_in_capitals_is_the_same_ending(tmp_path):
    write_nifti(tmp_path / "a.nii.gz", VOLUME).rename(tmp_path / "A.NII.GZ")
    assert read_header(tmp_path / "A.NII.GZ").shape == VOLUME.shape
    np.testing.assert_array_equal(read_volume(tmp_path / "A.NII.GZ")[..., 0], VOLUME)


def test_spacing_is_the_length_of_a_voxels_edges_and_one_where_the_format_has_none(tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", VOLUME)
    oblique = np.array([[0, -2, 0, 5], [0.6, 0, -4, 6], [0.8, 0, 3, 7], [0, 0, 0, 1]])  # columns of length 1, 2 and 5
    nibabel.save(nibabel.Nifti1Image(VOLUME, oblique), path)
    np.testing.assert_allclose(read_header(path).spacing, (1, 2, 5), rtol=1e-6)
    assert read_header(write_any(tmp_path / "a.npy", VOLUME)).spacing == (1, 1, 1)
