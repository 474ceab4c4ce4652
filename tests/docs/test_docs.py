"""docs/own-data.md runs from top to bottom: its CSV files as printed, its commands in a reduced form, its Python."""

import re
import shlex

import deepsim_tf as ds  # isort: skip
import nibabel
import numpy as np
import pandas
import pytest
from PIL import Image
from places import ROOT

from deepsim_tf.cli import main

PAGE = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
CSV_FILES = ["cells/pairs.csv", "cells/landmarks.csv", "cells/after_3_points.csv"]  # in the order of the page
CSV_FILES += ["stack/images.csv", "stack/classes.csv", "scans/subjects.csv", "volumes/subjects.csv"]
REDUCED = ["--epochs", "1", "--steps-per-epoch", "2", "--verbose", "0"]


def blocks(*languages):
    return [match.groups() for match in re.finditer(rf"```({'|'.join(languages)})\n(.*?)```", PAGE, re.S)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The files that the page lists, made of synthetic scenes."""
    monkeypatch.chdir(tmp_path)
    for name in ("cells", "stack", "scans", "volumes"):
        (tmp_path / name).mkdir()

    cells = ds.data.synthetic("cells", "train", size=(64, 48), count=3)
    for k in range(3):
        for name, image in zip(("after", "before"), cells.pair(k)):
            Image.fromarray(np.clip(image[..., 0] * 255, 0, 255).astype(np.uint8)).save(f"cells/{name}_{k + 1}.tif")

    (tmp_path / "cells" / "before_3_points.csv").write_text(
        "row,column\n20.5,15\n33,34.25\n"
    )  # 3 and 4 columns from the page's points

    sections = ds.data.synthetic("platelet", "train", size=(48, 48), count=2)
    for name, items in (("a", list(sections)), ("b", list(sections)[::-1])):
        images = [Image.fromarray(np.clip(image[..., 0] * 255, 0, 255).astype(np.uint8)) for image, _ in items]
        labels = [Image.fromarray(label.astype(np.uint8)) for _, label in items]
        labels[0].putpixel((0, 0), 3), labels[0].putpixel((1, 0), 4)
        for file, pages in ((f"{name}.tif", images), (f"{name}_labels.tif", labels)):
            pages[0].save(f"stack/{file}", save_all=True, append_images=pages[1:], compression="tiff_lzw")

    brains = ds.data.synthetic("brain", "train", size=(32, 32, 32), count=2)
    sizes = ((24, 24, 20), (22, 24, 18), (20, 22, 20), (24, 20, 20))
    for number, ((image, labels), size) in enumerate(zip(brains, sizes), start=1):
        cut = tuple(slice(4, 4 + n) for n in size)
        nibabel.save(nibabel.Nifti1Image(image[..., 0][cut] * 100 * number, np.eye(4)), f"volumes/s{number}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(labels[cut].astype(np.uint8), np.eye(4)), f"volumes/s{number}_labels.nii.gz")
    scans = ds.data.synthetic("brain", "train", size=(32, 32, 32), count=2, channels=2)
    for number, (image, labels) in enumerate(scans, start=1):
        for channel, factor in enumerate((100, 3000)):
            scan = nibabel.Nifti1Image(image[..., channel] * factor, np.eye(4))
            nibabel.save(scan, f"scans/s{number}_t{channel + 1}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(labels.astype(np.uint8), np.eye(4)), f"scans/s{number}_labels.nii.gz")
    for name, (_, text) in zip(CSV_FILES, blocks("csv"), strict=True):
        assert f"`{name}`" in PAGE
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_page_on_own_data_runs(folder, capsys):
    names, printed = {}, {}
    for number, (language, text) in enumerate(blocks("sh", "python")):
        if language == "python":
            exec(compile(text, "own-data.md", "exec"), names)
        for line in text.splitlines() if language == "sh" else ():
            assert line.startswith("deepsim ")
            command = shlex.split(line)[1:]
            more = REDUCED if command[0].startswith("train") else ["--verbose", "0"]
            assert main([*command, *more]) == 0, capsys.readouterr().err
        printed[number] = capsys.readouterr().out
    assert "No problem found." in printed[0]
    assert "(64, 48, 1) (64, 48, 2)" in printed[1]
    assert "no labels, landmarks" in printed[2]
    assert names["images"].pairs() == [(0, None)] and "tre" in printed[3]
    before = (
        pandas.read_csv(folder / "runs" / "cells" / "landmarks" / "summary.csv")
        .set_index("method")
        .loc["identity", "tre"]
    )
    assert before == 3.5
    assert "TRE (mm)" in (folder / "runs" / "cells" / "landmarks" / "report.html").read_text(encoding="utf-8")
    assert "3 classes" in printed[4]  # background, 1, and 2 with 3; 4 was dropped
    assert "4 images of 32 x 32 x 32 with 2 channels, 12 pairs" in printed[5]
    assert "ImageSet('subjects', 'val': 2 images (32, 32, 32) of 2 channels, 2 pairs)" in printed[6]
    assert printed[6].rstrip().endswith("(32, 32, 32, 2)")
    assert "ImageSet('subjects', 'train': 2 images (24, 24, 20), 2 pairs)" in printed[7]
    assert printed[7].rstrip().endswith("(24, 20, 20, 1)")
    for run in ("cells", "stack/deepsim"):
        assert (folder / "runs" / run / "report.html").is_file()
