"""What is damaged: one small valid file of each kind, and the commands and functions that meet it."""

import contextlib
import dataclasses
import io
import shutil
import warnings

import deepsim_tf as ds  # isort: skip
import nibabel
import numpy as np
from PIL import Image

from deepsim_tf import recipes
from deepsim_tf._compat import vxm
from deepsim_tf.cli import main
from deepsim_tf.data import read_label_map
from deepsim_tf.grids.world import pixel_affine
from deepsim_tf.inference.batch import read_pairs
from deepsim_tf.inference.field import PIXELS, Field, write_field
from deepsim_tf.training import runs

FLAT, SOLID = (16, 20), (8, 9, 10)  # of images and volumes
IMAGES = ("a.tif", "stack.tif", "a.png", "a.npy", "a.npz", "a.nii", "a.nii.gz", "a.mgz")
# Kind of file, and how many cases of 2000 it gets.
KINDS = {name: 140 for name in IMAGES} | {
    "flow.nii.gz": 140,
    "images.csv": 140,
    "points.csv": 100,
    "pairs.csv": 100,
    "map.csv": 100,
}
KINDS |= {"config.json": 140, "model.keras": 100, "model.h5": 60}


@dataclasses.dataclass
class Target:
    """A folder of small valid files, one of which, `name`, is to be damaged, and what reads it."""

    folder: object
    name: str
    uses: list  # functions without arguments; each returns "accepted" or "refused"

    def __post_init__(self):
        self.content = (self.folder / self.name).read_bytes()
        self.others = contents(self.folder)

    def judge(self, content):
        """Put `content` in the file's place and use it: "accepted", or "refused" by any of the uses.

        Raises:
            AssertionError: no clear refusal, a changed file, or output in spite of a refusal.
            Exception: whatever a command or function let through.
        """
        path = self.folder / self.name
        path.write_bytes(content)
        before = contents(self.folder)
        outcomes = set()
        for use in self.uses:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's and NumPy's, beside the refusal or the result
                outcome = use()
            after = contents(self.folder)
            assert {name: after.get(name) for name in before} == before, "an input was changed"
            new = after.keys() - before.keys()
            assert outcome == "accepted" or not new, f"refused, but wrote {new}"
            for name in new:
                (self.folder / name).unlink()
            outcomes.add(outcome)
        return "refused" if "refused" in outcomes else "accepted"


def contents(folder):
    """{path: bytes} of all files in a folder, hidden ones too."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def command(*arguments):
    """Run the command: exit code 0, or 2 and one line."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = main([str(argument) for argument in arguments])
    text = errors.getvalue()
    assert "MemoryError" not in text, text
    if arguments[0] == "check" and code == 2 and not text:  # it lists all problems, as its output
        assert "problem" in output.getvalue() and "Traceback" not in output.getvalue()
        return "refused"
    assert code in (0, 2), code
    assert code == 0 or (text.startswith("deepsim: ") and text.count("\n") == 1 and 'File "' not in text), text
    return "refused" if code else "accepted"


def called(function, *names):
    """Call a function.

    No error, or a ValueError of one line with one of the names (a file's or an argument's) in it.
    """
    try:
        function()
    except ValueError as error:
        text = str(error)
        assert "MemoryError" not in text and "\n" not in text and any(name in text for name in names), (
            f"{type(error).__name__}: {text}"
        )
        return "refused"
    return "accepted"


def target(name, folder, models):
    """The Target of a kind of file, made in an empty folder; `models` as `tiny_models` gives them."""
    rng = np.random.default_rng(0)
    if name in IMAGES or name == "flow.nii.gz":
        return _images(name, folder, models, rng)
    if name.endswith(".csv"):
        return _tables(name, folder, rng)
    if name == "config.json":
        recipe = recipes.registration("synthetic-cells", "cpu", "mse", features=(2,))
        runs.open_run(folder, recipe)
        (folder / "model.keras").write_bytes(b"damaged")  # so that no evaluation ends well, and writes
        return Target(folder, name, [lambda: command("evaluate", folder, "--verbose", 0)])
    shutil.copy(models[name], folder / name)
    moving, fixed = rng.random((2, *FLAT)).astype("float32")
    return Target(
        folder,
        name,
        [lambda: called(lambda: ds.register(folder / name, moving, fixed), name, "registration model", "shape")],
    )


def tiny_models(folder):
    """{2 or 3: a registration model of that dimension; file name: path of a model's file}."""
    models = {}
    for shape in (FLAT, SOLID):
        models[len(shape)] = ds.models.registration_model(shape, features=(2,), intensity="minmax", image_fit="pad")
    models["model.keras"], models["model.h5"] = folder / "model.keras", folder / "model.h5"
    models[2].save(models["model.keras"])
    network = vxm.networks.VxmDense(FLAT, nb_unet_features=[[2, 2], [2, 2, 2]], int_steps=0)
    network.save(models["model.h5"])
    return models


def _images(name, folder, models, rng):
    volume = name.endswith((".nii", ".nii.gz", ".mgz"))
    shape = SOLID if volume or name == "stack.tif" else FLAT
    array = rng.integers(0, 200, shape).astype("uint8")
    affine, unit = (np.diag([2.0, 2, 3, 1]), "mm") if volume else (pixel_affine(len(shape)), PIXELS)
    write_field(Field(rng.normal(size=(*shape, len(shape))).astype("float32"), affine, unit), folder / "flow.nii.gz")
    image = folder / (name if name != "flow.nii.gz" else "moving.nii.gz")
    if name.endswith((".tif", ".png")):
        pages = [Image.fromarray(page) for page in array.reshape(-1, *shape[-2:])]
        more = {"save_all": True, "append_images": pages[1:], "compression": "tiff_lzw"} if len(pages) > 1 else {}
        pages[0].save(image, **more)
    elif name.endswith((".npy", ".npz")):
        (np.save if name.endswith(".npy") else np.savez)(image, array)
    else:
        nibabel.save((nibabel.MGHImage if name.endswith(".mgz") else nibabel.Nifti1Image)(array, affine), image)
    out = folder / "warped.npy"
    if name == "flow.nii.gz":
        apply = ["warp", "--flow", folder / name, "--image", image, "--out", out]
        return Target(
            folder,
            name,
            [
                lambda: command(*apply),
                lambda: command("warp", "--invert", folder / name, "--out", folder / "inverse.nii.gz"),
            ],
        )
    model, fixed = models[len(shape)], rng.random(shape).astype("float32")
    return Target(
        folder,
        name,
        [
            lambda: command("warp", "--flow", folder / "flow.nii.gz", "--image", image, "--out", out),
            lambda: called(lambda: ds.register(model, image, fixed), name, "moving"),
        ],
    )


def _tables(name, folder, rng):
    for stem in "abc":
        Image.fromarray(rng.integers(0, 200, FLAT).astype("uint8")).save(folder / f"{stem}.png")
        labels = np.zeros(FLAT, "uint8")
        labels[4:9, 5:15], labels[9:12] = 1, 2
        Image.fromarray(labels).save(folder / f"l{stem}.png")
        (folder / f"{stem}.csv").write_text("row,column\n2,3\n10.5,12\n")
    path = folder / name
    images = "image,labels,landmarks,split\n" + "".join(
        f"{s}.png,l{s}.png,{'points' if s == 'b' else s}.csv,train\n" for s in "abc"
    )
    (folder / "images.csv").write_text(images)
    (folder / "points.csv").write_text("row,column\n2,4\n11.5,12.25\n")
    if name == "map.csv":
        path.write_text("label,class\n1,1\n2,1\n")
        return Target(folder, name, [lambda: called(lambda: read_label_map(path), name)])
    if name == "pairs.csv":
        path.write_text("moving,fixed,name\na.png,b.png,first\nb.png,c.png,second\n")
        return Target(folder, name, [lambda: called(lambda: read_pairs(path), name)])
    read = [lambda: command("check", "csv", folder / "images.csv", "--verbose", 0)]
    # The file may name others that are not there, or not fit; the message then names these.
    read.append(lambda: called(lambda: list(ds.data.from_csv(folder / "images.csv")), str(folder)))
    return Target(folder, name, read)
