import numpy as np
import pytest
from PIL import Image

from deepsim_tf.data.volumes import read_header, read_volume


def write(path, array, **options):
    pages = [Image.fromarray(page) for page in (array if array.ndim == 3 else array[None])]
    more = {"save_all": True, "append_images": pages[1:]} if len(pages) > 1 else {}
    pages[0].save(path, **more, **options)
    return path


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("shape", [(12, 15), (3, 12, 15)])
def test_a_tiff_comes_back_as_it_was_written(tmp_path, shape, dtype):
    array = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    path = write(tmp_path / "a.tif", array, compression="tiff_lzw")
    assert read_volume(path).dtype == dtype and read_header(path).shape == shape
    np.testing.assert_array_equal(read_volume(path), array)


def test_a_png_comes_back_as_it_was_written(tmp_path):
    array = np.arange(180, dtype=np.uint8).reshape(12, 15)
    np.testing.assert_array_equal(read_volume(write(tmp_path / "a.png", array)), array)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.3, 0.6, 0.9, 0.98])
def test_a_truncated_file_is_named(tmp_path, suffix, kept):
    path = tmp_path / f"t013.{suffix}"
    options = {"compression": "tiff_lzw"} if suffix == "tif" else {}
    write(path, np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8), **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=f"Cannot read .*t013.{suffix}.* seems truncated"):
        read_volume(path)


@pytest.mark.filterwarnings("ignore:.*(Truncated|Corrupt)")  # Pillow's
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_a_stack_cut_anywhere_never_comes_back_short(tmp_path, compression):
    # Pillow alone returns one or two of the three pages for every tenth length.
    array = np.random.default_rng(0).integers(0, 255, (3, 16, 16)).astype(np.uint8)
    path = write(tmp_path / "stack.tif", array, compression=compression)
    content = path.read_bytes()
    for kept in range(0, len(content), 3):
        path.write_bytes(content[:kept])
        try:
            whole = np.array_equal(read_volume(path), array)  # where only padding or metadata was cut
        except ValueError as error:
            whole = "Cannot read" in str(error) and "stack.tif" in str(error)
        assert whole, f"{kept} of {len(content)} bytes"


def test_what_is_no_image_is_refused(tmp_path):
    (tmp_path / "a.tif").write_text("no image")
    Image.new("RGB", (4, 4)).save(tmp_path / "rgb.png")
    for name, message in (("a.tif", "Cannot read"), ("b.tif", "No file"), ("c.jpg", "ends in .nii.gz, .nii, .mgz"), ("rgb.png", "colour image")):
        with pytest.raises(ValueError, match=message):
            read_volume(tmp_path / name)
