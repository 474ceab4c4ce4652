"""Whatever registers images is a Solver: identity, functions, VoxelMorph's files, and any of them with refinement."""

import deepsim_tf as ds  # isort: skip
import numpy as np
import pytest
import tensorflow as tf

from deepsim_tf._compat import vxm
from deepsim_tf.inference import Refined
from deepsim_tf.registration.objective import objective
from deepsim_tf.registration.prediction import Pair, Prediction
from deepsim_tf.registration.solver import Identity, Solver

SHAPE = (18, 22)


def shift(images):
    """One voxel along the first axis, for images of any size."""
    flow = np.zeros((*images["fixed"].shape[:-1], images["fixed"].ndim - 2), np.float32)
    flow[..., 0] = 1
    return {"flow": flow}


class Still(Solver):
    """A solver of one's own, which moves nothing and knows the loss that refinement minimises."""

    def __init__(self):
        self.goal = objective(ds.losses.LocalNCC(5), ds.losses.Diffusion(), 0.01)

    def solve(self, pair):
        return Prediction(flow=np.zeros((*pair.fixed.shape[:-1], pair.fixed.ndim - 2), np.float32))

    def objective(self):
        return self.goal


def images_of(pair):
    labels = [(image[..., 0] > 0.5).astype("int32") for image in pair]
    return ds.data.ImageSet(
        lambda i: (pair[i], labels[i]), ["moving", "fixed"], name="pair", split="test", classes=2, shape=SHAPE,
        spacing=(1, 1), intensity="none", pairs=[(0, 1)],
    )  # fmt: skip


def test_a_function_registers_arrays_of_any_size(texture):
    for shape in ((15, 20), (9, 10, 11)):
        moving, fixed = texture(shape, count=2)
        result = ds.register(shift, moving, fixed)
        np.testing.assert_array_equal(result["warped"], np.concatenate([moving[1:], moving[-1:]]))
        assert result["similarity_map"] is None and result["affine"] is None


def test_a_function_is_evaluated_as_a_model_is(texture):
    moving, _ = texture(SHAPE, count=2)
    images = images_of((moving, np.concatenate([moving[1:], moving[-1:]])))
    assert ds.evaluate(shift, images, verbose=0)["dice"][0] == 1
    assert ds.evaluate(None, images, verbose=0)["dice"][0] < 1
    identity = ds.evaluate(Identity(), images, verbose=0)
    assert identity["seconds"][0] == 0 and identity["folds"][0] == 0


def test_files_with_headers_are_registered_by_a_solver_without_a_grid_of_its_own(texture, tmp_path):
    import nibabel

    whole = texture((12, 14, 16))[0, ..., 0]
    nibabel.save(nibabel.Nifti1Image(whole, np.diag([2.0, 2.0, 3.0, 1.0])), tmp_path / "fixed.nii.gz")
    turned = nibabel.Nifti1Image(whole[::-1], [[-2, 0, 0, 22], [0, 2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]])
    nibabel.save(turned, tmp_path / "moving.nii.gz")
    found = ds.inference.register_files(
        lambda images: {"flow": np.zeros((*images["fixed"].shape[:-1], 3), np.float32)},
        tmp_path / "moving.nii.gz",
        tmp_path / "fixed.nii.gz",
        tmp_path / "out",
        intensity="none",
    )
    assert found["displacement"]["max"] == pytest.approx(0, abs=1e-5)  # the same place in the world
    warped = nibabel.load(tmp_path / "out" / "warped.nii.gz").get_fdata()
    np.testing.assert_allclose(warped, whole, atol=1e-5)


def test_any_solver_with_an_objective_can_be_refined(shifted):
    moving, fixed = shifted()
    result = ds.register(Still(), moving, fixed, refine=60)
    assert np.abs(result["flow"][3:-3, 3:-3].mean((0, 1)) - 2).max() < 0.5
    found = Refined(Still(), 5).solve(Pair(moving=moving[None], fixed=fixed[None]))
    assert set(found.extra["history"][0]) == {"loss", "similarity", "regularizer", "best"}


def test_a_voxelmorph_file_is_exported_with_its_own_flow(texture, tmp_path):
    network = vxm.networks.VxmDense((16, 32), nb_unet_features=[[4, 8], [8, 8, 4]], int_steps=3)
    network.get_layer("vxm_dense_flow").bias.assign([0.7, -0.4])
    network.save(tmp_path / "model.h5")
    served = tf.saved_model.load(str(ds.export(tmp_path / "model.h5", tmp_path / "served", verbose=0)))
    moving, fixed = texture((16, 32), count=2)
    scaled = [(image - image.min()) / np.ptp(image) for image in (moving, fixed)]
    found = served.signatures["serving_default"](
        moving=tf.constant(1000 * moving[None]), fixed=tf.constant(1000 * fixed[None])
    )
    expected = ds.register(tmp_path / "model.h5", *scaled)["flow"]
    np.testing.assert_allclose(found["flow"][0], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda images: images["moving"], r"must give a dict with .flow., in voxels. Received: ndarray"),
        (lambda images: {"warped": 0}, "Received: keys warped"),
        (
            lambda images: {"flow": np.zeros((1, 18, 22, 3))},
            r"of shape \(1, 18, 22, 2\). Received: \(1, 18, 22, 3\)",
        ),
        (lambda images: {"flow": np.full((1, 18, 22, 2), np.nan)}, "must give a finite flow"),
    ],
)
def test_a_function_that_gives_no_flow_is_refused(texture, function, message):
    with pytest.raises(ValueError, match=message):
        ds.register(function, *texture(SHAPE, count=2))


def test_what_cannot_register_is_refused_with_what_can(segmenter, texture, tmp_path):
    images = texture((16, 20), count=2)
    with pytest.raises(ValueError, match="Expected a registration model .* Received: SegmentationModel"):
        ds.register(segmenter, *images)
    with pytest.raises(ValueError, match="Expected a registration model .* Received: int"):
        ds.register(3, *images)
    with pytest.raises(ValueError, match="A FunctionSolver runs in Python and cannot be exported. Expected a model of"):
        ds.export(shift, tmp_path / "served")
    with pytest.raises(ValueError, match="a function. Register without refinement"):
        ds.register(shift, *images, refine=3)
