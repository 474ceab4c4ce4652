"""docs/register.md runs from top to bottom.

Its commands, its CSV file and its Python, on files of the names it uses.
"""

import deepsim_tf as ds  # isort: skip
import pathlib
import re
import shlex

import nibabel
import numpy as np
import pandas
from PIL import Image
from places import ROOT
from scenes import affine, save_volume, wavy_model

from deepsim_tf.cli import main

PAGE = (ROOT / "docs" / "register.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(sh|python|csv)\n(.*?)```", PAGE, re.S)


def make_files():
    """The two models and the images that the page names, in the current folder."""
    for name in ("cells", "brains", "runs/cells", "runs/brains"):
        pathlib.Path(name).mkdir(parents=True)
    after, before, labels, _ = ds.data.synthetic("cells", "train", size=(64, 48), count=1).pair(0)
    for name, image in (("after", after[..., 0] * 255), ("before", before[..., 0] * 255), ("after_masks", labels)):
        Image.fromarray(np.clip(image, 0, 255).astype("uint8")).save(f"cells/{name}.tif")
    wavy_model((64, 48)).save("runs/cells/model.keras")

    model = wavy_model((20, 22, 18), strength=0.1, spacing=(3, 3, 3), orientation="RAS", image_fit="pad")
    model.compile(
        "adam", ds.losses.LocalNCC(window=5), regularizer=ds.losses.Diffusion(), weight=0.5
    )  # which --refine goes on with
    model.save("runs/brains/model.keras")
    brains = pathlib.Path("brains")
    save_volume(brains / "atlas.nii.gz", (30, 32, 28), affine((30, 32, 28), (2, 2, 2)))
    oblique = affine((52, 10, 50), (1.1, 6, 1.2), "LSP", (3, 0, 2), (1, 2, 0))
    save_volume(brains / "patient.nii.gz", (52, 10, 50), oblique, shift=(2, -1, 1))
    save_volume(brains / "second.nii.gz", (30, 30, 30), affine((30, 30, 30), (2, 2, 2)), shift=(-2, 1, 1))
    image = nibabel.load(brains / "patient.nii.gz")
    labels = np.where(image.get_fdata() > 60, 17, 0).astype("uint8")
    nibabel.save(nibabel.Nifti1Image(labels, image.affine), brains / "patient_labels.nii.gz")


def test_the_page_on_registering_files_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_files()
    namespace = {}
    for language, text in BLOCKS:
        if language == "csv":
            pathlib.Path("pairs.csv").write_text(text, encoding="utf-8")
        elif language == "python":
            exec(compile(text, "register.md", "exec"), namespace)
        else:
            for line in text.splitlines():
                done = (0, 3) if "--model" in line else (0,)  # these networks are untrained, and doubtful
                assert main(shlex.split(line)[1:]) in done, (line, capsys.readouterr())
    results = pathlib.Path("results")
    written = {path.name for path in (results / "brains").iterdir()}
    assert written == {"warped.nii.gz", "flow.nii.gz", "log_jacobian.nii.gz", "overview.png", "registration.json"}
    assert set(np.unique(nibabel.load(results / "patient_labels_on_atlas.nii.gz").get_fdata())) == {0, 17}
    assert list(pandas.read_csv(results / "all" / "summary.csv")["name"]) == ["patient_1", "patient_2"]
    # There and back is nearer to the identity than the flow is, but for what left the field of view.
    flow, both = (
        ds.inference.read_field(results / name).lengths()[0] for name in ("brains/flow.nii.gz", "there_and_back.nii.gz")
    )
    assert both < min(1, flow / 2)
