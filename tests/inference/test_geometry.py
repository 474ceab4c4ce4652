"""Where images and the model's grid lie.

As in training where the files are as in training, and right for all others.
"""

import deepsim_tf as ds  # isort: skip
import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from scenes import affine, save_volume, wavy_model

from deepsim_tf import inference
from deepsim_tf.formats import Header, read_header, read_volume
from deepsim_tf.grids.fit import fit_image
from deepsim_tf.inference.placement import placement, rotation_between


def header(shape, voxels=None):
    return Header(tuple(shape), np.dtype("float32"), voxels)


@pytest.mark.parametrize(
    ("fit", "spacing", "shape"),
    [
        ("pad", (1, 1, 1), (16, 20, 12)),  # whole voxels added, and cropped on the last axis
        ("pad", None, (16, 20, 12)),  # a model of before, which knows no spacing
        ("pad:2", (2, 2, 2), (8, 10, 6)),
        ("pad:2", None, (8, 10, 6)),
        ("resample", (1, 1, 1), (7, 9, 5)),  # halves of 14, 18 and 10... of an image twice as large
        (None, (2, 2, 2), (7, 9, 7)),  # a set of one size, downsampled by 2
    ],
)
def test_a_file_like_the_training_images_comes_to_the_grid_as_they_did(fit, spacing, shape, texture):
    size = (14, 18, 10) if fit == "resample" else (14, 18, 14) if fit is None else (11, 17, 15)
    image = texture(size)[0]
    model = wavy_model(shape, spacing=spacing, orientation=None if spacing is None else "RAS", image_fit=fit)
    voxels = affine(size, centre=(5, 6, 7))
    geometry = inference.place(model, header(size, voxels), header(size, voxels))
    for name in ("moving", "fixed"):
        np.testing.assert_allclose(
            geometry.onto_grid(name, image[..., 0]), fit_image(image, shape, fit or "resample"), atol=1e-6
        )


def test_the_grid_has_the_models_voxels_and_orientation_and_the_fixed_images_centre_and_tilt():
    shape = (40, 12, 50)
    fixed = affine(shape, (1, 4, 1), "PSL", (10, -4, 6), centre=(11, -7, 3))
    model = wavy_model((30, 32, 20), spacing=(1.5, 1.5, 2.5), orientation="LIA", image_fit="pad")
    geometry = inference.place(model, header((9, 9, 9), np.eye(4)), header(shape, fixed))
    grid = geometry.grid_affine
    assert "".join(nibabel.aff2axcodes(grid)) == "LIA"
    np.testing.assert_allclose(nibabel.affines.voxel_sizes(grid), (1.5, 1.5, 2.5))
    np.testing.assert_allclose(grid @ [*((np.array((30, 32, 20)) - 1) / 2), 1], [11, -7, 3, 1], atol=1e-9)
    np.testing.assert_allclose(rotation_between(grid, fixed), 0, atol=1e-4)  # no angle but of permuted axes


def test_averaging_on_the_way_down_keeps_the_mean_of_every_block():
    image = np.random.default_rng(0).random((30, 30, 30)).astype("float32")
    model = wavy_model((10, 10, 10), spacing=(3, 3, 3), orientation="RAS", image_fit="pad")
    voxels = affine(image.shape)
    geometry = inference.place(model, header(image.shape, voxels), header(image.shape, voxels))
    blocks = image.reshape(10, 3, 10, 3, 10, 3).mean((1, 3, 5))
    np.testing.assert_allclose(geometry.onto_grid("fixed", image)[..., 0], blocks, atol=1e-6)


def test_far_on_the_way_down_ramps_stay_and_noise_goes(rng):
    size, factor = (60, 60, 60), 10
    model = wavy_model((6, 6, 6), features=(2,), spacing=(factor,) * 3, orientation="RAS", image_fit="pad")
    geometry = inference.place(model, header(size, affine(size)), header(size, affine(size)))
    centres = (np.arange(6) + 0.5) * factor - 0.5
    ramp = geometry.onto_grid("fixed", np.indices(size)[1].astype("float32"))[..., 0]
    np.testing.assert_allclose(ramp[:, 1:-1], np.broadcast_to(centres[None, 1:-1, None], (6, 4, 6)), atol=1e-3)
    noise = geometry.onto_grid("fixed", rng.normal(size=size))
    assert (
        noise.std() < 0.06
    )  # the mean over a block has 1 / sqrt(1000) = 0.03, single samples of it would have up to 1


@pytest.mark.parametrize("axes", ["LPS", "SRP", "AIL"])
def test_reoriented_files_have_the_same_flow_in_the_world(axes, tmp_path):
    shape, moving_shape = (26, 12, 30), (30, 28, 13)
    fixed = save_volume(tmp_path / "fixed.nii.gz", shape, affine(shape, (2, 5, 1.8), "RSA", (8, 3, -5)))
    moving = save_volume(tmp_path / "moving.nii.gz", moving_shape, affine(moving_shape, (2, 2, 4), centre=(2, 2, 0)))
    model = wavy_model((20, 22, 18), spacing=(3, 3, 3), orientation="RAS", image_fit="pad")
    turned = []
    for path in (moving, fixed):
        image = nibabel.load(path)
        ornt = ornt_transform(io_orientation(image.affine), axcodes2ornt(axes))
        turned.append(tmp_path / f"turned_{path.name}")
        nibabel.save(image.as_reoriented(ornt), turned[-1])
    assert "".join(nibabel.aff2axcodes(nibabel.load(turned[1]).affine)) == axes
    as_it_was, reoriented = (
        inference.register_pair(model, moving, fixed).field,
        inference.register_pair(model, *turned).field,
    )
    # nibabel turns the second field back, component by component: vectors in the world stay what they are
    vectors = np.stack(
        [
            nibabel.apply_orientation(
                reoriented.vectors[..., c],
                ornt_transform(io_orientation(reoriented.affine), io_orientation(as_it_was.affine)),
            )
            for c in range(3)
        ],
        axis=-1,
    )
    back = ornt_transform(io_orientation(reoriented.affine), io_orientation(as_it_was.affine))
    np.testing.assert_allclose(reoriented.affine @ inv_ornt_aff(back, reoriented.shape), as_it_was.affine, atol=1e-4)
    assert as_it_was.lengths()[0] > 1.5
    np.testing.assert_allclose(vectors, as_it_was.vectors, atol=2e-3)


def test_centres_align_images_that_are_far_apart(tmp_path):
    shape = (24, 24, 24)
    fixed = save_volume(tmp_path / "fixed.nii.gz", shape, affine(shape, (2.5, 2.5, 2.5)))
    near, far = (
        save_volume(
            tmp_path / f"{k}.nii.gz", shape, affine(shape, (2.5, 2.5, 2.5), centre=(k, 0, -k)), shift=(k, 0, -k)
        )
        for k in (0, 200)
    )
    model = wavy_model((20, 20, 20), spacing=(3, 3, 3), orientation="RAS", image_fit="pad")
    expected = inference.register_pair(model, near, fixed)
    apart = inference.register_pair(model, far, fixed)
    assert any(
        "share only 0 % of the smaller one" in text and "--align centres" in text and "ANTs" in text
        for text in apart.warnings
    )
    aligned = inference.register_pair(model, far, fixed, align="centres")
    assert expected.warnings == aligned.warnings == []
    assert aligned.numbers["align"] == {
        "by": "centres",
        "translation": [-200.0, 0.0, -200.0],
    }  # LPS: from fixed to moving
    np.testing.assert_allclose(aligned.field.vectors - (200, 0, -200), expected.field.vectors, atol=1e-3)
    np.testing.assert_allclose(aligned.warped, expected.warped, atol=0.05)


def doubts(model, *paths):
    """What `placement` finds about two files, without a prediction."""
    geometry = inference.place(model, *map(read_header, paths), paths=paths)
    return placement(geometry, *(read_volume(path)[..., 0] for path in paths))


def test_what_lies_far_apart_or_turned_is_said_with_its_remedy(tmp_path):
    shape = (40, 40, 40)
    model = wavy_model((20, 20, 20), spacing=(4, 4, 4), orientation="RAS", image_fit="pad")
    fixed = save_volume(tmp_path / "fixed.nii.gz", shape, affine(shape, (2, 2, 2)))
    turned = save_volume(tmp_path / "turned.nii.gz", shape, affine(shape, (2, 2, 2), "LSP", angles=(0, 0, 20)))
    numbers, (warning,) = doubts(model, turned, fixed)
    assert numbers["rotation_degrees"] == pytest.approx(20, abs=1e-3)
    assert "is turned by 20 degrees" in warning and "SimpleITK" in warning
    # one field of view, and the heads at opposite ends of it
    beside = save_volume(tmp_path / "beside.nii.gz", shape, affine(shape, (2, 2, 2)), shift=(35, 35, 0))
    _, (warning,) = doubts(model, beside, fixed)
    assert "What the two images show lies apart" in warning and "--align centres" in warning
    # micrometres taken for millimetres
    small = save_volume(tmp_path / "small.nii.gz", shape, affine(shape, (0.2, 0.2, 0.2)))
    assert any("check the unit of its voxel size" in text for text in doubts(model, small, small)[1])


def test_images_that_do_not_go_together_are_refused_by_name(tmp_path):
    volume = save_volume(tmp_path / "a.nii.gz", (8, 8, 8), np.eye(4))
    np.save(tmp_path / "b.npy", np.random.default_rng(0).random((8, 8, 8)))
    np.save(tmp_path / "flat.npy", np.random.default_rng(0).random((8, 8)))
    np.save(tmp_path / "larger.npy", np.random.default_rng(0).random((8, 8, 9)))
    model = wavy_model((8, 8, 8))
    for moving, fixed, match in [
        (volume, tmp_path / "b.npy", "a.nii.gz says where its voxels lie, and .*b.npy does not"),
        (tmp_path / "flat.npy", volume, "flat.npy is 2-D, of shape .8, 8.. Expected 3-D"),
        (tmp_path / "larger.npy", tmp_path / "b.npy", "Expected one shape, as the model's training images had"),
    ]:
        with pytest.raises(ValueError, match=match):
            inference.register_pair(model, moving, fixed)
    with pytest.raises(ValueError, match="Unknown align 'heads'. Available: headers, centres."):
        inference.register_pair(model, volume, volume, align="heads")
    with pytest.raises(ValueError, match="carries no intensity rule for files.*--intensity"):
        inference.register_pair(wavy_model((8, 8, 8), intensity=None), volume, volume)


def test_files_without_header_are_registered_as_ds_register_does(tmp_path, texture):
    for name, image in zip(("moving", "fixed"), texture((30, 37), count=2, smooth=3)):
        np.save(tmp_path / f"{name}.npy", image[..., 0])
    paths = tmp_path / "moving.npy", tmp_path / "fixed.npy"
    for fit in ("pad", "resample", None):
        model = wavy_model((16, 20), image_fit=fit)
        expected, found = ds.register(model, *paths), inference.register_pair(model, *paths)
        rows_columns = found.field.voxels()  # pixels of the array
        np.testing.assert_allclose(rows_columns, expected["flow"], atol=1e-4)
        np.testing.assert_allclose(found.images["warped"], expected["warped"], atol=1e-4)


def test_data_sets_and_models_remember_orientation_and_voxel_size(tmp_path):
    shape = (16, 16, 16)
    rows = ["image,split"]
    for k in range(3):
        save_volume(tmp_path / f"{k}.nii.gz", shape, affine(shape, (2, 3, 4), "LAS"), shift=(k, 0, 0))
        rows.append(f"{k}.nii.gz,{'train' if k < 2 else 'val'}")
    (tmp_path / "own.csv").write_text("\n".join(rows))
    images = ds.data.from_csv(tmp_path / "own.csv", "train")
    assert images.orientation == images.downsampled(2).orientation == "LAS" and images.downsampled(2).spacing == (
        4,
        6,
        8,
    )
    assert ds.data.from_csv(tmp_path / "own.csv", "train", slices=True).orientation is None
    assert ds.data.synthetic("cells", "train", size=(32, 32), count=1).orientation is None
    assert read_header(tmp_path / "0.nii.gz").orientation == "LAS"
    model = wavy_model(shape, spacing=images.spacing, orientation=images.orientation)
    model.save(tmp_path / "model.keras")
    loaded = inference.open_solver(tmp_path / "model.keras")
    assert (loaded.spacing, loaded.orientation) == ((2.0, 3.0, 4.0), "LAS")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [({"spacing": (1, 0, 1)}, "spacing must be 3 voxel sizes"), ({"orientation": "RAR"}, "'RAS'")],
)
def test_an_impossible_frame_is_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        ds.models.registration_model((8, 8, 8), features=(2,), **arguments)


def test_channels_come_to_the_grid_alike_and_their_mean_shows_what_is_there(rng):
    shape = (20, 18, 16)
    model = wavy_model((10, 9, 8), features=(2,), spacing=(2.5, 2.5, 2.5), orientation="RAS", image_fit="pad")
    oblique = affine(shape, axes="LSP", angles=(5, -8, 3))
    geometry = inference.place(model, header(shape, oblique), header(shape, affine(shape)))
    image = rng.random((*shape, 3), np.float32)
    alone = [geometry.onto_grid("moving", image[..., c])[..., 0] for c in range(3)]
    np.testing.assert_array_equal(geometry.onto_grid("moving", image), np.stack(alone, axis=-1))
    # One corner is bright in each of two channels: only the mean sees both.
    corners = np.zeros((*shape, 2))
    corners[:6, :6, :6, 0] = corners[-6:, -6:, -6:, 1] = 1
    both, one = (placement(geometry, image, image)[0] for image in (corners, corners[..., :1]))
    assert both == placement(geometry, corners.mean(axis=-1), corners.mean(axis=-1))[0] != one
