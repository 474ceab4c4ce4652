"""A page that is taken out of a TIFF stack is that page, however the file was written."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image
from writers import noise, write_pages

from deepsim_tf.formats import read_header, read_volume
from deepsim_tf.formats.tiff_pages import TiffPages


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"rowsperstrip": 5},
        {"tile": (16, 16)},
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True, "rowsperstrip": 7, "bigtiff": True},
        {"compression": "zlib", "tile": (16, 32), "byteorder": ">"},
        {"imagej": True},
        {"ome": True},
    ],
)
def test_every_page_is_the_one_that_was_written(tmp_path, dtype, options):
    if options.get("compression") and dtype == "float32":
        options = {name: value for name, value in options.items() if name not in ("predictor", "byteorder")}
    array = noise((4, 40, 50), dtype)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", **options)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.tif")[..., 0], array)
    for page in (3, 0, 2):
        np.testing.assert_array_equal(read_volume(tmp_path / "a.tif", page=page)[..., 0], array[page])
    assert read_header(tmp_path / "a.tif").shape == array.shape


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32"])
def test_compressed_numbers_whose_bytes_pillow_mixes_up_are_refused(tmp_path, dtype):
    for array in (noise((8, 9), dtype), noise((3, 8, 9), dtype)):
        tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", byteorder=">", compression="zlib")
        for read in (read_volume, read_header):
            with pytest.raises(ValueError, match="a.tif: a compressed TIFF .* byte order MM.* in the byte order II"):
                read(tmp_path / "a.tif")


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
def test_colours_of_every_page(tmp_path, planarconfig):
    array = noise((3, 40, 50, 3), high=256)
    stored = array if planarconfig == "contig" else np.moveaxis(array, -1, 1)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planarconfig)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.tif"), array)


def test_a_page_alone_is_a_file_of_its_own_without_what_is_no_pixel(tmp_path):
    array = noise((3, 8, 9))
    tifffile.imwrite(tmp_path / "a.tif", array, description="x" * 10_000, photometric="minisblack", metadata=None)
    pages = TiffPages(tmp_path / "a.tif")
    assert len(pages) == 3
    assert len(pages.alone(0)) < 500
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(pages.alone(1))), array[1])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(pages.alone(2)))), array[2])
    assert Image.open(io.BytesIO(pages.alone(2, pixels=False))).size == (9, 8)
    pages.close()


def test_pixels_that_a_file_does_not_have_are_refused(tmp_path):
    array = noise((3, 40, 50))
    content = bytearray(write_pages(tmp_path / "a.tif", array).read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        sizes, places = (file.pages[1].tags[tag].valueoffset for tag in (279, 273))
    for place, number in ((sizes, 2**31), (places, len(content) - 1000)):
        damaged = content.copy()
        damaged[place : place + 4] = number.to_bytes(4, "little")
        (tmp_path / "a.tif").write_bytes(damaged)
        with pytest.raises(ValueError, match="Cannot read .*a.tif .*The file seems truncated or damaged"):
            read_volume(tmp_path / "a.tif", page=1)
        np.testing.assert_array_equal(read_volume(tmp_path / "a.tif", page=2)[..., 0], array[2])
