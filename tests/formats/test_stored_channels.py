"""Channels: where each format keeps them, that they come last, and that none is lost or made without a word."""

import nibabel
import numpy as np
import pytest
from PIL import Image
from writers import noise, write_any, write_pages

from deepsim_tf.formats import read_header, read_volume

COLOURS = noise((8, 9, 3), high=256)


def assert_channels(path, array, **options):
    """`array` (*spatial, channels) is what the file and its header say."""
    found, header = read_volume(path, **options), read_header(path, **options)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
    assert (*header.shape, header.channels) == array.shape


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_red_green_and_blue_are_three_channels(tmp_path, suffix, options):
    Image.fromarray(COLOURS).save(tmp_path / f"a.{suffix}", **(options if suffix == "tif" else {}))
    assert_channels(tmp_path / f"a.{suffix}", COLOURS)


def test_a_stack_of_colour_pages_is_a_volume_with_channels(tmp_path):
    array = noise((4, 8, 9, 3), high=256)
    first, *others = map(Image.fromarray, array)
    first.save(tmp_path / "a.tif", save_all=True, append_images=others, compression="tiff_lzw")
    assert_channels(tmp_path / "a.tif", array)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.tif", page=2), array[2])


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_an_alpha_channel_is_dropped_where_every_pixel_is_opaque_and_refused_elsewhere(tmp_path, name):
    for samples, kept in ((COLOURS, COLOURS), (COLOURS[..., :1], COLOURS[..., :1])):
        array = np.concatenate([samples, np.full((8, 9, 1), 255, np.uint8)], axis=-1)
        Image.fromarray(array).save(tmp_path / name)
        assert_channels(tmp_path / name, kept)
        array[2:4, 5, -1] = 254
        Image.fromarray(array).save(tmp_path / name)
        with pytest.raises(ValueError, match=f"{name} has 2 pixels that are not opaque. .* without its alpha channel"):
            read_volume(tmp_path / name)


def test_a_colour_that_stands_for_transparent_is_refused_where_it_occurs(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "a.png", transparency=tuple(map(int, COLOURS[3, 4])))
    with pytest.raises(ValueError, match="a.png has 1 pixels that are not opaque"):
        read_volume(tmp_path / "a.png")
    Image.fromarray(COLOURS | 1).save(tmp_path / "a.png", transparency=(0, 0, 0))
    assert_channels(tmp_path / "a.png", COLOURS | 1)


def tiff(array, photometric):
    """A TIFF (rows, columns, samples) written byte by byte from the specification, without a tag for extra samples."""
    rows, columns, samples = array.shape
    bits, pixels = 8 * array.itemsize, array.astype(array.dtype.newbyteorder("<")).tobytes()
    tags = {256: columns, 257: rows, 258: bits, 259: 1, 262: photometric, 273: 8, 277: samples, 278: rows}
    tags |= {279: len(pixels), 284: 1}
    if samples > {1: 1, 2: 3}[photometric]:
        tags[338] = 0  # what the further sample is, nobody says
    pixels += b"\0" * (len(pixels) % 2)
    depths = np.full(samples, bits, "<u2").tobytes()
    start = b"II*\0" + (8 + len(pixels) + len(depths)).to_bytes(4, "little") + pixels + depths
    entries = b""
    for tag, value in sorted(tags.items()):
        count, kind = (samples, 3) if tag == 258 else (1, 4)
        if tag == 258:
            value = 8 + len(pixels) if samples > 2 else bits * (1 + (samples > 1) * 2**16)  # an offset beyond 4 bytes
        entries += tag.to_bytes(2, "little") + kind.to_bytes(2, "little") + count.to_bytes(4, "little")
        entries += value.to_bytes(4, "little")
    return start + len(tags).to_bytes(2, "little") + entries + bytes(4)


def png16(path, array):
    """A PNG of 16 bits and 3 channels, which Pillow does not write: its chunks by hand."""
    import struct
    import zlib

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows, columns, _ = array.shape
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    head = struct.pack(">2I5B", columns, rows, 16, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("read", [read_volume, read_header])
def test_what_pillow_would_leave_out_is_refused(tmp_path, read):
    deep = noise((8, 9, 3), "uint16", high=60000)
    png16(tmp_path / "deep.png", deep)
    (tmp_path / "deep.tif").write_bytes(tiff(deep, 2))
    (tmp_path / "two.tif").write_bytes(tiff(COLOURS[..., :2], 1))
    (tmp_path / "four.tif").write_bytes(tiff(np.concatenate([COLOURS, COLOURS[..., :1]], -1), 2))
    Image.new("CMYK", (4, 4)).save(tmp_path / "ink.tif")
    remedy = "save each channel as a grey file of its own, and list them as one image .a.tif;b.tif."
    for name, message in (
        ("deep.png", f"a colour image of 16 bits a channel, of which Pillow keeps 8. Expected 8: {remedy}"),
        ("deep.tif", "a colour image of 16 bits a channel"),
        ("two.tif", f"2 samples a pixel. Expected 1 .grey. or 3 .red, green, blue.: {remedy}"),
        ("four.tif", "4 samples a pixel"),
        ("ink.tif", r"a colour image \(mode CMYK\). Expected grey or red-green-blue: convert it first"),
    ):
        with pytest.raises(ValueError, match=f"{name} (is|has) {message}"):
            read(tmp_path / name)


def test_the_hand_written_files_are_what_they_say(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(COLOURS, 2))
    assert_channels(tmp_path / "a.tif", COLOURS)
    png16(tmp_path / "a.png", noise((8, 9, 3), "uint16", high=60000))
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / "a.png")), noise((8, 9, 3), "uint16", high=60000) >> 8
    )


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    ("stored", "intent", "shape"),
    [
        ((5, 6, 7, 1, 2), "none", (5, 6, 7, 2)),
        ((5, 6, 7, 1, 3), "vector", (5, 6, 7, 3)),
        ((5, 6, 7, 2), "vector", (5, 6, 7, 2)),
        ((5, 6, 1, 1, 2), "none", (5, 6, 2)),
        ((5, 6, 7, 1, 1), "vector", (5, 6, 7, 1)),
    ],
)
def test_the_vectors_of_a_nifti_are_channels(tmp_path, suffix, stored, intent, shape):
    array = noise(stored, "float32")
    image = nibabel.Nifti1Image(array, np.diag([1, 2, 3, 1]))
    image.header.set_intent(intent)
    nibabel.save(image, tmp_path / f"a{suffix}")
    assert_channels(tmp_path / f"a{suffix}", array.reshape(shape))
    assert read_header(tmp_path / f"a{suffix}").spacing == (1, 2, 3)[: len(shape) - 1]


def test_a_series_in_a_nifti_is_no_channels(tmp_path):
    nibabel.save(nibabel.Nifti1Image(noise((5, 6, 7, 4, 2)), np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(ValueError, match="Expected a 2-D or 3-D image: .* Its axes are x, y, z, time, channels;"):
        read_volume(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("names", [("R", "G", "B"), ("R", "G", "B", "A")])
def test_the_colours_of_a_nifti_are_channels(tmp_path, names):
    array = noise((5, 6, 7, 3), high=256)
    stored = np.zeros((5, 6, 7), [(name, "u1") for name in names])
    for channel, name in enumerate(names):
        stored[name] = array[..., channel] if channel < 3 else 255
    nibabel.save(nibabel.Nifti1Image(stored, np.eye(4)), tmp_path / "a.nii.gz")
    assert_channels(tmp_path / "a.nii.gz", array)
    if len(names) == 4:
        stored["A"][0, 0, 0] = 3
        nibabel.save(nibabel.Nifti1Image(stored, np.eye(4)), tmp_path / "a.nii.gz")
        with pytest.raises(ValueError, match="a.nii.gz has 1 pixels that are not opaque"):
            read_volume(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_the_last_axis_of_an_array_holds_channels_only_where_somebody_says_so(tmp_path, suffix):
    thin = noise((8, 9, 3))
    path = write_any(tmp_path / f"a{suffix}", thin)
    assert_channels(path, thin[..., None])  # as ever: a volume of three planes
    assert_channels(path, thin, channels=3)
    with pytest.raises(ValueError, match=r"\(8, 9, 3\). Expected 2 channels on its last axis, as asked .channels=2."):
        read_volume(path, channels=2)
    assert_channels(write_any(path, noise((4, 8, 9, 2))), noise((4, 8, 9, 2)), channels=2)
    assert_channels(write_any(path, noise((8, 9, 1))), noise((8, 9, 1)), channels=1)


def test_another_number_of_channels_than_expected_is_refused(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "rgb.png")
    write_pages(tmp_path / "grey.png", COLOURS[..., 0])
    for name, expected, message in (("rgb", 1, "has 3 channels. Expected 1"), ("grey", 3, "has 1 channel. Expected 3")):
        for read in (read_volume, read_header):
            with pytest.raises(ValueError, match=f"{name}.png {message}: convert it first"):
                read(tmp_path / f"{name}.png", channels=expected)


@pytest.mark.parametrize("read", [read_volume, read_header])
def test_labels_of_several_channels_are_refused(tmp_path, read):
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="a.png has 3 channels. Expected labels: one whole number a voxel"):
        read(tmp_path / "a.png", kind="labels")
