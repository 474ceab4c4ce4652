"""Bad input to the command: one line that names the argument or the file, exit code 2, and nothing written."""

import deepsim_tf as ds  # isort: skip
import keras
import numpy as np
import pytest
from PIL import Image

from deepsim_tf import recipes, training
from deepsim_tf.cli import main
from deepsim_tf.training import runs


@pytest.fixture
def refused(capsys):
    """`refused(*arguments)`.

    Run the command, which must end with exit code 2 and one line on stderr; returns the line.
    """

    def run(*arguments):
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == 2
        output = capsys.readouterr()
        assert output.out == "" and output.err.startswith("deepsim: ")
        assert output.err.count("\n") == 1 and "Traceback" not in output.err and 'File "' not in output.err
        return output.err.strip()

    return run


@pytest.fixture
def u373(tmp_path):
    """A folder like PhC-C2DH-U373, with three frames of either sequence in their real size and compression."""
    root = tmp_path / "U373"
    image, mask = np.full((520, 696), 90, "uint8"), np.zeros((520, 696), "uint16")
    image[100:140, 200:260], mask[100:140, 200:260] = 140, 7
    for sequence in ("01", "02"):
        (root / sequence).mkdir(parents=True)
        (root / f"{sequence}_ST" / "SEG").mkdir(parents=True)
        for frame in range(3):
            Image.fromarray(image).save(root / sequence / f"t{frame:03d}.tif", compression="tiff_lzw")
            Image.fromarray(mask).save(
                root / f"{sequence}_ST" / "SEG" / f"man_seg{frame:03d}.tif", compression="tiff_lzw"
            )
    return root


def remove_images(root):
    for path in (root / "01").iterdir():
        path.unlink()


def truncate(root):
    path = root / "01" / "t001.tif"
    path.write_bytes(path.read_bytes()[:700])


def garble(root):
    (root / "02" / "t002.tif").write_text("not a TIFF")


def remove_mask(root):
    (root / "01_ST" / "SEG" / "man_seg002.tif").unlink()


def remove_folder(root):
    (root / "02").rename(root / "03")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (remove_images, ["No train frames in", "U373/01", "Expected t000.tif", "found no frame at all"]),
        (truncate, ["U373/01/t001.tif (700 bytes)", "expected a PNG or TIFF", "truncated or damaged"]),
        (garble, ["U373/02/t002.tif (10 bytes)", "expected a PNG or TIFF"]),
        (remove_mask, ["No mask for frame t002.tif", "Expected man_seg002.tif in", "01_ST/SEG"]),
        (remove_folder, ["is not PhC-C2DH-U373: no folder", "U373/02", "Expected 01, 02, 01_ST/SEG and 02_ST/SEG"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_damaged_dataset_is_one_line_that_names_the_file(refused, u373, tmp_path, damage, expected):
    damage(u373)
    line = refused("train-segmentation", "--dataset", "phc-u373", "--data", u373, "--out", tmp_path / "run")
    for words in expected:
        assert words in line
    assert not (tmp_path / "run").exists()  # nothing stands in the way of the next try


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("train-segmentation --dataset phc-u373", "dataset 'phc-u373' needs the folder that holds it (--data DIR)."),
        ("train-segmentation --dataset phc-u373 --data /no/folder", "/no/folder is not PhC-C2DH-U373"),
        ("train-segmentation --dataset oasis", "Unknown dataset 'oasis'. Available: phc-u373,"),
        ("train-segmentation --dataset synthetic-cells --preset paper", "Unknown preset 'paper'. Available: cpu."),
        (
            "train-segmentation --dataset synthetic-cells --backbone vgg",
            "Unknown backbone 'vgg'. Available: voxelmorph, paper.",
        ),
        (
            "train-segmentation --dataset synthetic-cells --epochs many",
            "Invalid value for '--epochs': 'many' is not a valid integer",
        ),
        ("train-segmentation --dataset synthetic-cells --epochs 0", "epochs must be at least 1. Received: epochs=0."),
        (
            "train-segmentation --dataset synthetic-cells --batch-size 1000",
            "batch_size=1000 is more than the 4 items of an epoch",
        ),
        (
            "train-registration --dataset synthetic-cells --loss ssim",
            "Unknown loss 'ssim'. Available: mse, ncc, ncc-sup, nmi, mind,",
        ),
        ("train-registration --dataset synthetic-cells --loss deepsim", "loss 'deepsim' needs an extractor"),
        ("train-registration --dataset synthetic-cells --loss deepsim --extractor /no/run", "No extractor at /no/run."),
        ("train-registration --dataset synthetic-cells", "Missing option '--loss'"),
        ("train-segmentation", "Missing option '--dataset'"),
        ("train-segmentation --dataset synthetic-cells --epocs 3", "No such option '--epocs'."),
        ("train", "No such command 'train'"),
        ("evaluate", "Missing argument 'RUN...'"),
        (
            "evaluate /no/run",
            "/no/run is not a run folder: it has no config.json. Expected the folder that a training wrote.",
        ),
    ],
)
def test_wrong_arguments_are_one_line(refused, monkeypatch, tmp_path, arguments, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("deepsim_tf.recipes.datasets.SYNTHETIC_PAIRS", {"train": 2, "val": 1})
    assert words in refused(*arguments.split())
    assert list(tmp_path.iterdir()) == []


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_with_another_recipe_is_left_as_it_is(refused, tmp_path):
    folder = runs.open_run(tmp_path / "run", recipes.segmentation("synthetic-cells", "cpu", epochs=2))
    (folder / "model.keras").write_bytes(b"hours of work")
    before = contents(folder)
    line = refused("train-segmentation", "--dataset", "synthetic-cells", "--epochs", 3, "--seed", 1, "--out", folder)
    assert "already holds another recipe: epochs is 2 there and 3 here; seed is 0 there and 1 here." in line
    line = refused("train-registration", "--dataset", "synthetic-cells", "--loss", "mse", "--out", folder)
    assert "already holds a segmentation run, and this is a registration run" in line
    assert contents(folder) == before


def test_a_folder_with_other_files_is_left_as_it_is(refused, tmp_path):
    (tmp_path / "photo.png").write_bytes(b"mine")
    line = refused("train-segmentation", "--dataset", "synthetic-cells", "--out", tmp_path)
    assert f"{tmp_path} is not empty and no run (it has no config.json)" in line
    assert contents(tmp_path) == {"photo.png": b"mine"}


@pytest.mark.parametrize(
    ("make", "message", "remedy"),
    [
        (lambda: ds.models.segmentation_model((8, 8, 8), 2, features=(2,)), "takes 3-D images of 1 channel(s).", ""),
        (lambda: three_channels(), "takes 2-D images of 3 channel(s).", "channels='repeat'"),
    ],
    ids=["3-D", "3 channels"],
)
def test_an_extractor_of_other_images_is_refused_before_there_is_a_folder(refused, tmp_path, make, message, remedy):
    make().save(tmp_path / "extractor.keras")
    command = "train-registration --dataset synthetic-cells --loss deepsim --extractor".split()
    line = refused(*command, tmp_path / "extractor.keras", "--out", tmp_path / "run")
    assert (
        f"The extractor {tmp_path / 'extractor.keras'} {message} Expected 2-D images of 1 channel, as synthetic-cells"
        " has." in line
    )
    assert remedy in line
    assert not (tmp_path / "run").exists()


def three_channels():
    images = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(2, 3, name="unet_enc_conv_0_0")(images)
    return keras.Model(images, keras.layers.ReLU(name="unet_enc_conv_0_0_activation")(x))


def test_evaluate_names_what_is_wrong_with_a_run(refused, tmp_path):
    segmentation = runs.open_run(tmp_path / "segmentation", recipes.segmentation("synthetic-cells", "cpu"))
    assert "segmentation is a segmentation run. Expected a run of train-registration." in refused(
        "evaluate", segmentation
    )

    started = runs.open_run(tmp_path / "started", recipes.registration("synthetic-cells", "cpu", "mse"))
    assert "started holds no model.keras: its training has not ended." in refused("evaluate", started)

    (started / "model.keras").write_bytes(b"damaged")
    (started / "history.csv").write_text("epoch\n1\n")
    assert "started/model.keras cannot be read as a Keras model" in refused("evaluate", started)
    assert "Unknown split 'dev'. Available: train, val, test." in refused("evaluate", started, "--split", "dev")

    other = runs.open_run(tmp_path / "other", recipes.registration("synthetic-cells", "cpu", "ncc"))
    (other / "model.keras").write_bytes(b"damaged")
    assert "2 runs need a folder for their comparison. Pass --out DIR" in refused("evaluate", started, other)

    (other / "config.json").write_text('{"task": "regis')
    assert "other/config.json cannot be read. Expected the JSON that a training wrote" in refused("evaluate", other)


def test_runs_of_two_datasets_are_not_compared(refused, tmp_path):
    folders = []
    for dataset in ("synthetic-cells", "synthetic-platelet"):
        folders.append(runs.open_run(tmp_path / dataset, recipes.registration(dataset, "cpu", "mse")))
        (folders[-1] / "model.keras").write_bytes(b"")
    line = refused("evaluate", *folders, "--out", tmp_path / "out")
    assert (
        "Runs of one dataset can be compared. Received: synthetic-cells (None), and synthetic-platelet (None) in"
        in line
    )


def test_python_and_the_command_refuse_in_the_same_words(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").write_text("a file where a folder is needed")
    recipe = recipes.segmentation("synthetic-cells", "cpu")
    with pytest.raises(ValueError, match="runs is not empty and no run") as error:
        training.train_segmentation(recipe, "runs")
    assert refused("train-segmentation", "--dataset", "synthetic-cells", "--out", "runs") == f"deepsim: {error.value}"
