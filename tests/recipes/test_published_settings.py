"""The preset "paper" against the numbers of Czolbe et al. 2023 and of the authors' repository, written out here."""

import deepsim_tf as ds  # isort: skip
import keras
import pytest

from deepsim_tf import recipes
from deepsim_tf.data.sets import brain_mri, phc_u373

SETS = ("brain-mri", "hippocampus", "platelet-em", "phc-u373")  # the columns of all tables below
LAMBDA = {  # the weights that reproduce the published table
    "mse": (0.08, 0.08, 0.02, 0.005),
    "ncc": (1, 1, 0.5, 0.25),
    "ncc-sup": (2, 1, 0.5, 0.25),
    "nmi": (2, 1, 1, 0.25),
    "mind": (0.25, 0.25, 0.125, 0.125),
    "deepsim-ae": (1, 0.25, 1, 0.125),
    "deepsim": (2, 0.5, 1, 0.125),
    "deepsim-vgg": (None, None, 1, 0.125),
}
DICE = {  # the table of results, test means over all classes; the hippocampus' are read off a figure
    "mse": (0.6662, 0.8013, 0.8935, 0.9653),
    "ncc": (0.6574, 0.8221, 0.8754, 0.9650),
    "ncc-sup": (0.6678, 0.8299, 0.8879, 0.9686),
    "nmi": (0.6649, 0.8182, 0.8892, 0.9655),
    "mind": (0.6566, 0.8225, 0.8796, 0.9652),
    "deepsim-ae": (0.6708, 0.8117, 0.8950, 0.9674),
    "deepsim": (0.6754, 0.8174, 0.8947, 0.9679),
    "deepsim-vgg": (None, None, None, None),
}
CHANNELS = {  # of the encoder
    "registration": ((32, 64, 128), (32, 64, 128), (64, 128, 256), (64, 128, 256)),
    "segmentation": ((32, 64, 128), (128, 128, 128), (64, 128, 256), (64, 128, 256)),
    "autoencoder": ((32, 64, 128), (64, 128, 256), (64, 128, 256), (64, 128, 256)),
}
BATCH, ACCUMULATION = (1, 4, 3, 5), (4, 1, 2, 2)
PATIENCE = (2, 2, 200, 200)  # epochs
UPDATES = {  # of the weights
    "segmentation": (100_000, 150_000, 50_000, 50_000),
    "registration": (None, 1_000_000, 24_000, 33_000),  # brain: 30 epochs, once through the images each
}
BATCH_NORM_AND_DROPOUT = (True, False, True, True)


def column(table):
    return dict(zip(SETS, table, strict=True))


def recipe(task, dataset):
    make = getattr(recipes, task)
    return make(dataset, "paper", *(["mse"] if task == "registration" else []), data="anywhere")


@pytest.mark.parametrize("loss", LAMBDA)
@pytest.mark.parametrize("dataset", SETS)
def test_lambda_is_that_of_the_published_table(dataset, loss, tmp_path):
    extractor = {"extractor": tmp_path} if loss in ("deepsim", "deepsim-ae") else {}
    expected = column(LAMBDA[loss])[dataset]
    if expected is None:
        with pytest.raises(ValueError, match="loss 'deepsim-vgg' is for 2-D images"):
            recipes.registration(dataset, "paper", loss, data="anywhere")
        return
    found = recipes.registration(dataset, "paper", loss, data="anywhere", **extractor)
    assert (found.weight, found.regularizer) == (expected, "diffusion")
    assert isinstance(found.regularization(), ds.losses.Diffusion)
    assert recipes.LOSSES[loss].published.get(dataset) == column(DICE[loss])[dataset]


@pytest.mark.parametrize("task", CHANNELS)
@pytest.mark.parametrize("dataset", SETS)
def test_network_batch_and_schedule_are_the_published_ones(dataset, task):
    found = recipe(task, dataset)
    assert (found.backbone, found.features) == ("paper", column(CHANNELS[task])[dataset])
    assert (found.batch_size, found.accumulation) == (column(BATCH)[dataset], column(ACCUMULATION)[dataset])
    assert (found.learning_rate, found.patience) == (1e-4, column(PATIENCE)[dataset])
    assert found.batch_norm == found.dropout == column(BATCH_NORM_AND_DROPOUT)[dataset]
    assert (found.downsample, found.augment, found.precision) == (1, "spatial", "float32")


@pytest.mark.parametrize("task", UPDATES)
@pytest.mark.parametrize("dataset", SETS)
def test_as_many_updates_are_made_as_published(dataset, task):
    found, expected = recipe(task, dataset), column(UPDATES[task])[dataset]
    if expected is None:
        assert (found.epochs, found.steps_per_epoch) == (30, None)
        return
    updates = found.epochs * found.steps_per_epoch / found.accumulation
    assert updates == pytest.approx(expected, rel=0.003)
    if task == "registration" and dataset != "hippocampus":
        assert (found.epochs, updates) == (3000, expected)


def test_the_optimiser_is_pytorchs_adam():
    optimizer = recipe("registration", "phc-u373").optimizer()
    assert type(optimizer) is keras.optimizers.Adam
    assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (0.9, 0.999, 1e-8)
    assert float(optimizer.learning_rate) == pytest.approx(1e-4)
    assert (optimizer.weight_decay, optimizer.clipnorm, optimizer.amsgrad) == (None, None, False)


@pytest.mark.parametrize("dataset", SETS)
def test_images_are_turned_scaled_sheared_and_flipped_as_published(dataset):
    volumes = dataset in ("brain-mri", "hippocampus")
    found = recipe("registration", dataset).augmentation(3 if volumes else 2)
    expected = {"rotation": 180, "scale": (0.8, 1.2), "shear": 0.03} if not volumes else {
        "rotation": 5, "scale": (1, 1), "shear": 0}  # fmt: skip
    # The authors' own translation has no effect.
    assert vars(found) == {**expected, "translation": 0, "flip": True}


def similarity(loss, dataset, **changes):
    return recipes.registration(dataset, "paper", loss, data="anywhere", **changes).similarity()


@pytest.mark.parametrize("dataset", SETS)
def test_the_losses_have_the_published_settings(dataset):
    assert type(similarity("mse", dataset)) is keras.losses.MeanSquaredError
    for loss in ("ncc", "ncc-sup"):
        assert similarity(loss, dataset).get_config()["window"] == 9
    mind = similarity("mind", dataset).get_config()
    assert (mind["radius"], mind["dilation"]) == (2, 2)
    nmi = similarity("nmi", dataset).get_config()
    assert (nmi["bins"], nmi["fraction"], nmi["fwhm"]) == (64, 0.1, 1.0)  # a tenth of the voxels, a bin at half height
    # "brain dataset hyperintensities can be > 1.0" (the authors' registration_model.py)
    assert (nmi["vmin"], nmi["vmax"]) == (0.0, 1.5 if dataset == "brain-mri" else 1.0)


def test_ncc_sup_alone_compares_labels_too_by_the_mean_squared_error():
    for loss in LAMBDA:
        supervised = recipes.LOSSES[loss].supervised
        assert supervised == (loss == "ncc-sup")
    found = recipes.registration("phc-u373", "paper", "ncc-sup", data="anywhere").supervised()
    assert type(found) is keras.losses.MeanSquaredError
    assert recipes.registration("phc-u373", "paper", "ncc", data="anywhere").supervised() is None


def test_deepsim_compares_all_levels_of_the_tasks_encoder_uncentred(tmp_path):
    model = ds.models.segmentation_model((16, 16), 2, backbone="paper", features=(2, 4, 6))
    model.save(tmp_path / "model.keras")
    tasks = {"deepsim": "segmentation", "deepsim-ae": "autoencoder", "deepsim-vgg": "vgg16"}
    assert {loss: recipes.LOSSES[loss].extractor for loss in tasks} == tasks
    for loss in ("deepsim", "deepsim-ae"):
        found = similarity(loss, "phc-u373", extractor=tmp_path / "model.keras")
        assert found.levels == ["level_1", "level_2", "level_3"]
        assert (found.zero_mean, found.eps, found.foreground, found.warp) == (False, 1e-6, None, "image")


def test_the_papers_losses_are_compared_in_the_papers_order():
    from deepsim_tf.studies import PAPER

    assert PAPER == ("mse", "ncc", "ncc-sup", "nmi", "mind", "deepsim-ae", "deepsim")
    titles = ["MSE", "NCC", "NCC_sup", "NMI", "MIND", "DeepSim_ae", "DeepSim"]
    assert [recipes.LOSSES[loss].title for loss in PAPER] == titles


def test_the_intensities_are_divided_as_published():
    assert (brain_mri.INTENSITY, phc_u373.INTENSITY) == ("fixed:0:128", "fixed:0:256")  # not clipped
    assert (brain_mri.CLASSES, phc_u373.CROP) == (24, ((4, 516), (4, 692)))
