"""Unknown names, numbers out of range, and extractors that are none, from Python: ValueErrors that name them."""

import deepsim_tf as ds  # isort: skip
import zipfile

import numpy as np
import pytest

from deepsim_tf import recipes

SHAPE = (16, 16)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ds.models.registration_model(SHAPE, backbone="vgg"),
            "Unknown backbone 'vgg'. Available: voxelmorph, paper",
        ),
        (lambda: ds.data.synthetic("cells", "dev"), "Unknown split 'dev'. Available: train, val, test"),
        (
            lambda: recipes.segmentation("oasis", "cpu"),
            "Unknown dataset 'oasis'. Available: phc-u373, platelet-em, brain-mri, hippocampus, csv",
        ),
        (lambda: recipes.segmentation("synthetic-cells", "gpu"), "Unknown preset 'gpu'. Available: cpu"),
        (lambda: recipes.segmentation("phc-u373", "tpu"), "Unknown preset 'tpu'. Available: cpu, gpu, paper"),
        (
            lambda: recipes.registration("synthetic-cells", "cpu", "ssim"),
            "Unknown loss 'ssim'. Available: mse, ncc, ncc-sup, nmi",
        ),
        (
            lambda: recipes.segmentation("synthetic-cells", "cpu", backbone="vgg"),
            "Unknown backbone 'vgg'. Available: voxelmorph, paper",
        ),
    ],
)
def test_unknown_names_come_with_the_known_ones(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_unknown_level_comes_with_the_known_ones(segmenter, extractor):
    message = "Unknown level 'level_7'. Available: level_1, level_2"
    with pytest.raises(ValueError, match=message):
        ds.models.FeatureExtractor.from_model(segmenter, levels=["level_1", "level_7"])
    with pytest.raises(ValueError, match=message):
        ds.losses.DeepSim(extractor, levels=["level_7"])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", 0, "epochs must be at least 1. Received: epochs=0"),
        ("batch_size", -1, "batch_size must be at least 1. Received: batch_size=-1"),
        ("learning_rate", 0.0, "learning_rate must be above 0. Received: learning_rate=0.0"),
        ("seed", -1, "seed must be at least 0. Received: seed=-1"),
        ("weight", -0.5, "weight must be at least 0. Received: weight=-0.5"),
        ("int_steps", -7, "int_steps must be at least 0. Received: int_steps=-7"),
    ],
)
def test_numbers_of_a_recipe_are_checked(name, value, message):
    with pytest.raises(ValueError, match=message):
        recipes.registration("synthetic-cells", "cpu", "mse", **{name: value})


def test_deepsim_needs_an_extractor_and_the_other_losses_none(tmp_path):
    with pytest.raises(ValueError, match=r"loss 'deepsim' needs an extractor: the run folder of train-segmentation"):
        recipes.registration("synthetic-cells", "cpu", "deepsim")
    with pytest.raises(
        ValueError, match=r"No extractor at .*nowhere. Expected the run folder of train-segmentation, or a .keras file"
    ):
        recipes.registration("synthetic-cells", "cpu", "deepsim", extractor=tmp_path / "nowhere")
    with pytest.raises(ValueError, match="loss 'mse' uses no extractor"):
        recipes.registration("synthetic-cells", "cpu", "mse", extractor=tmp_path)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "whole.keras"
    ds.models.segmentation_model(SHAPE, 2, features=(2,)).save(path)
    return path


@pytest.mark.parametrize("kind", ["text", "empty", "half", "archive"])
def test_an_extractor_file_that_is_no_keras_model_is_named(model_file, tmp_path, kind):
    path = tmp_path / "broken.keras"
    if kind == "archive":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "no model")
    else:
        whole = model_file.read_bytes()
        path.write_bytes({"text": b"weights", "empty": b"", "half": whole[: len(whole) // 2]}[kind])
    with pytest.raises(
        ValueError, match=r"broken\.keras cannot be read as a Keras model \(.*\)\. Expected a \.keras file"
    ):
        ds.models.FeatureExtractor.from_model(path)


def test_a_run_folder_whose_model_is_missing_is_no_extractor(tmp_path):
    with pytest.raises(ValueError, match=r"No model at .*model\.keras"):
        ds.models.FeatureExtractor.from_model(tmp_path)


def test_an_extractor_of_other_channels_or_dimensions_is_refused(extractor, tmp_path):
    with pytest.raises(
        ValueError, match=r"trained on images of 1 channel\(s\). Received: images.shape=\(2, 16, 16, 3\)"
    ):
        ds.losses.DeepSim(extractor)(*[np.zeros((2, *SHAPE, 3), "float32")] * 2)
    with pytest.raises(ValueError, match=r"expects 2-D images.* Received: y_pred.shape=\(1, 8, 8, 8, 1\)"):
        ds.losses.DeepSim(extractor)(*[np.zeros((1, 8, 8, 8, 1), "float32")] * 2)
