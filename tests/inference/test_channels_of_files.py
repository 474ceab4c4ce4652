"""Registering files of several channels: in colour, as a vector at each voxel, on the last axis, one file a channel."""

import deepsim_tf as ds  # isort: skip
import nibabel
import numpy as np
import pandas
import pytest
from matplotlib.image import imread
from PIL import Image
from scenes import affine, save_volume, wavy_model

from deepsim_tf import inference
from deepsim_tf.cli import main
from deepsim_tf.inference.image_files import header_of, scaled_voxels, source_of, stored_voxels
from deepsim_tf.intensity.rules import apply_intensity

SHAPE = (20, 18, 16)
VOXELS = affine(SHAPE, (2, 2.5, 3), "LSP", (4, -3, 6))


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """{name: path} of two contrasts of a moving and a fixed volume."""
    folder = tmp_path_factory.mktemp("volumes")
    shifts = {"moving_t1": (2, -1, 1), "moving_t2": (4, 3, -2), "fixed_t1": (0, 0, 0), "fixed_t2": (1, 5, -1)}
    return {
        name: save_volume(folder / f"{name}.nii.gz", SHAPE, VOXELS, shift=shift, scale=100 if "t1" in name else 3)
        for name, shift in shifts.items()
    }


def test_channels_in_files_of_their_own_are_one_image(volumes, tmp_path):
    model = wavy_model((16, 18, 16), channels=2, spacing=(3, 3, 3), orientation="RAS", image_fit="pad")
    moving, fixed = (f"{volumes[f'{role}_t1']};{volumes[f'{role}_t2']}" for role in ("moving", "fixed"))
    report = inference.register_files(model, moving, fixed, tmp_path / "out")
    assert report["moving"] == moving and report["files"]["warped"] == "warped.nii.gz"
    warped = nibabel.load(tmp_path / "out" / "warped.nii.gz")
    assert warped.shape == (*SHAPE, 1, 2)
    field = inference.read_field(tmp_path / "out" / "flow.nii.gz")
    assert field.lengths()[0] > 1
    for channel, name in enumerate(("moving_t1", "moving_t2")):  # each is its own file, warped by the one flow
        inference.warp_file(tmp_path / "out" / "flow.nii.gz", volumes[name], tmp_path / f"{name}.nii.gz")
        alone = nibabel.load(tmp_path / f"{name}.nii.gz").get_fdata()
        np.testing.assert_allclose(warped.get_fdata()[..., 0, channel], alone, atol=1e-4 * np.abs(alone).max())
    np.testing.assert_allclose(warped.affine, VOXELS, atol=1e-5)
    # The network saw both: each file from 0 to 1, as in a data set.
    scaled = scaled_voxels(source_of(moving), "minmax")
    assert (scaled.min(axis=(0, 1, 2)) == 0).all() and (scaled.max(axis=(0, 1, 2)) == 1).all()


def test_a_batch_lists_the_files_of_an_image_in_one_cell(volumes, tmp_path):
    wavy_model((16, 18, 16), channels=2, spacing=(3, 3, 3), orientation="RAS").save(tmp_path / "model.keras")
    folder = volumes["fixed_t1"].parent
    rows = "moving_t1.nii.gz;moving_t2.nii.gz,fixed_t1.nii.gz ; fixed_t2.nii.gz\nmoving_t2.nii.gz,fixed_t1.nii.gz\n"
    (folder / "pairs.csv").write_text(f"moving,fixed\n{rows}")
    table = inference.register_pairs(tmp_path / "model.keras", folder / "pairs.csv", tmp_path / "out", verbose=0)
    assert list(table["status"]) == ["done", "failed"]
    assert table["name"][0] == "moving_t1_to_fixed_t1"
    assert "moving_t2.nii.gz has 1 channel. Expected 2" in table["reason"][1]
    assert table["moving"][0] == f"{volumes['moving_t1']};{volumes['moving_t2']}"
    assert pandas.read_csv(tmp_path / "out" / "summary.csv")["status"].tolist() == ["done", "failed"]


def test_images_in_colour_are_registered_and_shown_in_colour(texture, tmp_path):
    model = wavy_model((32, 40), channels=3, image_fit="pad")
    raw = {}
    for seed, name in enumerate(("moving", "fixed")):
        channels = [texture((30, 44), seed=10 * seed + c, smooth=3)[0, ..., 0] for c in range(3)]
        raw[name] = (255 * np.stack(channels, axis=-1)).astype("uint8")
        Image.fromarray(raw[name]).save(tmp_path / f"{name}.png")
    assert (
        main(
            ["register", "--out", str(tmp_path / "out"), "--model", str(saved(model, tmp_path))]
            + [f"--{name}={tmp_path / name}.png" for name in raw]
        )
        == 0
    )
    warped = np.load(next((tmp_path / "out").glob("warped.npy")))  # TIFF holds red, green and blue of 8 bits alone
    expected = ds.register(model, *(apply_intensity(image, "minmax") for image in raw.values()))
    np.testing.assert_allclose(apply_intensity_of(raw["moving"], warped), expected["warped"], atol=1e-4)
    by_path = ds.register(model, *(tmp_path / f"{name}.png" for name in raw))
    np.testing.assert_allclose(by_path["flow"], expected["flow"], atol=1e-5)
    overview = imread(tmp_path / "out" / "overview.png")[..., :3]
    assert np.ptp(overview, axis=-1).mean() > 0.05


def saved(model, folder):
    model.save(folder / "model.keras")
    return folder / "model.keras"


def apply_intensity_of(image, warped):
    """Warped intensities on the scale on which "minmax" brings the image from 0 to 1."""
    return (warped - image.min()) / float(np.ptp(image))


def test_arrays_in_files_have_as_many_channels_as_the_model(tmp_path, rng):
    np.save(tmp_path / "two.npy", rng.random((9, 8, 2)))
    np.save(tmp_path / "grey.npy", rng.random((9, 8)))
    source = source_of(tmp_path / "two.npy")
    assert header_of(source, 2)[:2] == ((9, 8), np.float64) and stored_voxels(source, 2).shape == (9, 8, 2)
    assert header_of(source)[0] == (9, 8, 2)  # nobody says so: a volume
    with pytest.raises(ValueError, match="grey.npy holds an array of shape .9, 8.. Expected 2 channels"):
        header_of(source_of(tmp_path / "grey.npy"), 2)
    both = source_of(f"{tmp_path / 'grey.npy'};{tmp_path / 'grey.npy'}")
    with pytest.raises(ValueError, match="grey.npy has 2 channels. Expected 1, as the model's images have."):
        header_of(both, 1)
    with pytest.raises(ValueError, match="No file .*none.npy"):
        source_of(f"{tmp_path / 'grey.npy'};{tmp_path / 'none.npy'}")
