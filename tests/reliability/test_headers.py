"""What the fuzz has found, each as a test of its own."""

import deepsim_tf as ds  # isort: skip
import gzip
import json
import struct
import zipfile

import nibabel
import numpy as np
import pytest
from resources import limited

from deepsim_tf import recipes
from deepsim_tf.data import read_label_map
from deepsim_tf.formats import read_volume
from deepsim_tf.training import runs


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mgz"])
def test_a_small_file_cannot_ask_for_a_large_memory(tmp_path, name):
    path = tmp_path / name
    nibabel.save(
        (nibabel.MGHImage if name == "a.mgz" else nibabel.Nifti1Image)(np.ones((4, 5, 6), "uint8"), np.eye(4)), path
    )
    raw = bytearray(gzip.decompress(path.read_bytes()) if name.endswith("z") else path.read_bytes())
    # The sizes of the axes: in MGH three big-endian int32 from byte 4, in NIfTI-1 three int16 from byte 42.
    raw[slice(4, 16) if name == "a.mgz" else slice(42, 48)] = struct.pack(
        ">3i" if name == "a.mgz" else "<3h", 30_000, 30_000, 30
    )  # 27 GB
    path.write_bytes(gzip.compress(raw) if name.endswith("z") else raw)
    with (
        limited(2**30),
        pytest.raises(
            ValueError, match=f"Cannot read .*{name} .*Expected 27000000000 bytes of voxels, as its header says"
        ),
    ):
        read_volume(path)


def test_a_small_flow_cannot_ask_for_a_large_memory(tmp_path):
    path = tmp_path / "flow.nii.gz"
    ds.inference.write_field(ds.inference.Field(np.zeros((4, 5, 6, 3), "float32"), np.eye(4), "mm"), path)
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[42:48] = struct.pack("<3h", 3000, 3000, 300)  # 32 GB
    path.write_bytes(gzip.compress(raw))
    with (
        limited(2**30),
        pytest.raises(
            ValueError, match="Cannot read .*flow.nii.gz .Expected 32400000000 bytes of voxels, as its header says"
        ),
    ):
        ds.inference.read_field(path)


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("dataset", "oasis", "Unknown dataset 'oasis'. Available: phc-u373"),
        ("dataset", ["x"], r"dataset is \['x'\]"),
        ("loss", "ssim", "Unknown loss 'ssim'. Available: mse"),
        ("features", ["x"], r"features is \('x',\)"),
        ("epochs", True, "epochs is True"),
        ("learning_rate", "fast", "learning_rate is 'fast'"),
        ("options", None, "options is None"),
    ],
)
def test_an_edited_config_json_is_named(tmp_path, entry, value, message):
    folder = runs.open_run(tmp_path / "run", recipes.registration("synthetic-cells", "cpu", "mse"))
    config = json.loads((folder / "config.json").read_text())
    config["recipe"][entry] = value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=rf"config.json holds no recipe of this version \({message}"):
        runs.read_recipe(folder)


def test_a_task_that_is_no_name_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"task": ["registration"], "recipe": {"features": [2]}}')
    with pytest.raises(ValueError, match="holds no recipe of this version .Unknown task"):
        runs.read_recipe(tmp_path)


def test_a_model_with_a_wrong_checksum_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    ds.models.segmentation_model((16, 16), 2, features=(2,)).save(path)
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("config.json").header_offset
    content = bytearray(path.read_bytes())
    content[start + 200] ^= 16
    path.write_bytes(content)
    with pytest.raises(ValueError, match="model.keras cannot be read as a Keras model .*Expected a .keras file"):
        ds.models.FeatureExtractor.from_model(path)


def test_a_name_that_no_system_takes_is_no_file(tmp_path):
    name = "x" * 5000 + ".png"
    (tmp_path / "own.csv").write_text(f"image\n{name}\n")
    with pytest.raises(ValueError, match="own.csv, line 2: no file .*xxx.png"):
        ds.data.from_csv(tmp_path / "own.csv")
    with pytest.raises(ValueError, match="No file .*xxx.png"):
        read_volume(tmp_path / name)


def test_line_ends_in_the_name_of_a_column_do_not_break_the_message(tmp_path):
    (tmp_path / "map.csv").write_text('"la\nbel",class\n1,1,2\n')
    with pytest.raises(
        ValueError, match=r"map.csv has more cells in its rows than columns in its header \(la bel, class\)"
    ):
        read_label_map(tmp_path / "map.csv")
