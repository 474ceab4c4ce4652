"""Images per second and peak memory of each dataset, cold and cached.

    python benchmarks/data.py --data ../shared/data      # every dataset that is there; about 5 minutes on two cores
    python benchmarks/data.py --data DIR --only stream   # an epoch over 4400 links to one brain
    python benchmarks/data.py --only pages               # a TIFF of 1000 pages, which it writes itself

`--data` holds LPBA40, Platelet-EM or Drosophila-VNC-EM, PhC-C2DH-U373 and Task04_Hippocampus. Each line is measured in
a process of its own, so that its peak memory is its own. "cold": from the files (whose bytes the operating system may
hold); "memory" and "folder": the second time, from the cache; "pipeline": batches of pairs through tf.data as a
training takes them, with augmentation where the line says so. Prints a Markdown table; benchmarks/README.md keeps it.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import deepsim_tf as ds  # isort: skip  (before TensorFlow: it switches oneDNN on)
import numpy as np

from deepsim_tf.recipes import DATASETS

FOLDERS = {
    "brain-mri": ["LPBA40"],
    "platelet-em": ["Platelet-EM", "Drosophila-VNC-EM"],
    "phc-u373": ["PhC-C2DH-U373"],
    "hippocampus": ["Task04_Hippocampus"],
}
MODES = ("cold", "memory", "folder", "pipeline", "pipeline + spatial", "pipeline + spatial + intensity")
VOLUMES = 4400  # of the paper's brain experiment
PAGES = 1000


def peak():
    """Peak memory of this process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def rate(count, function):
    """Calls of `function` a second: `count` of them are timed."""
    started = time.perf_counter()
    function()
    return count / (time.perf_counter() - started)


def measure(dataset, folder, mode):
    """(images or pairs a second, what they are)."""
    make = DATASETS[dataset].load
    if mode in ("cold", "memory"):
        images = make(folder, "train", cache=None if mode == "cold" else "memory")
        first = rate(len(images), images.check)
        if mode == "cold":
            return first, f"{len(images)} images {images.shape}"

        def copies():
            for _ in range(20):
                for image in images.stack()[0]:
                    image.copy()

        return rate(20 * len(images), copies), "copied from the cache"
    if mode == "folder":
        with tempfile.TemporaryDirectory() as cache:
            make(folder, "train", cache=cache).check()
            again = make(folder, "train", cache=cache)
            return rate(len(again), again.check), "by another ImageSet, as after a kill"
    return pipeline(dataset, make(folder, "train"), mode)


def pipeline(dataset, images, mode):
    """Pairs a second out of `registration_dataset`, batch 1."""
    spatial = DATASETS[dataset].augmentation(len(images.shape))
    intensity = [ds.augmentation.RandomBiasField(), ds.augmentation.RandomGamma(), ds.augmentation.RandomNoise()]
    augment = {"pipeline": None, "pipeline + spatial": spatial}.get(
        mode, ds.augmentation.Compose([spatial, *intensity])
    )
    batches = iter(ds.data.registration_dataset(images, 1, training=True, augment=augment, first_epoch=0))
    warm, count = (3, 12) if len(images.shape) == 3 and min(images.shape) > 64 else (20, 200)
    for _ in range(warm):
        next(batches)
    return rate(count, lambda: [next(batches) for _ in range(count)]), "pairs, batch 1"


def stream(folder):
    """One epoch over thousands of links to one brain, from files: memory at its start and end."""
    source = next(path for path in sorted((Path(folder) / "data").iterdir()) if path.is_dir())
    with tempfile.TemporaryDirectory() as root:
        root = Path(root)
        (root / "data").mkdir()
        (root / "atlas").symlink_to((Path(folder) / "atlas").resolve())
        names = [f"subject{number:04d}" for number in range(VOLUMES)]
        for name in names:
            (root / "data" / name).symlink_to(source.resolve())
        (root / "metadata.csv").write_text("subject_id,SPLIT\n" + "".join(f"{name},train\n" for name in names))
        started = time.perf_counter()
        images = ds.data.brain_mri(root, "train")
        opened = time.perf_counter() - started
        print(f"opened {len(images)} volumes in {opened:.0f} s, cache={images.cache}", flush=True)
        started = time.perf_counter()
        for number, _ in enumerate(ds.data.registration_dataset(images, 1, training=True)):
            if number in (50, 500, 1000, 2000, 3000, VOLUMES - 1):
                now = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**30
                seconds = time.perf_counter() - started
                print(
                    f"after {number + 1:5d} volumes: {now:.2f} GiB now, {peak():.2f} GiB at most,"
                    f" {(number + 1) / seconds:.1f} / s",
                    flush=True,
                )


def pages():
    """The pages of one stack (256 x 256, LZW) as a series, in order on all cores, and at random on one."""
    from PIL import Image

    images = ds.data.synthetic("platelet", "train", size=(256, 256), count=10)
    stored = [Image.fromarray((image[..., 0] * 255).astype("uint8")) for image, _ in images] * (PAGES // len(images))
    with tempfile.TemporaryDirectory() as root:
        stored[0].save(f"{root}/stack.tif", save_all=True, append_images=stored[1:], compression="tiff_lzw")
        Path(root, "series.csv").write_text("image\nstack.tif\n")
        series = ds.data.from_csv(f"{root}/series.csv", slices=True, intensity="fixed:0:256", cache=None)
        order = np.random.default_rng(0).permutation(PAGES)
        for name, read in (("in order", series.check), ("at random", lambda: [series[int(i)] for i in order])):
            print(
                f"| TIFF of {PAGES} pages | {name} | {rate(PAGES, read):.1f} | {peak():.2f} | pages (256, 256), LZW |"
            )


def main():
    """Print the table, or one line of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of the datasets")
    parser.add_argument("--only", help="a dataset, stream, or pages")
    parser.add_argument("--line", nargs=3, help=argparse.SUPPRESS)  # dataset, folder, mode: in a process of its own
    arguments = parser.parse_args()
    if arguments.line:
        measured, note = measure(*arguments.line)
        print(f"RESULT {measured:.1f} | {peak():.2f} | {note}")
        return
    if arguments.only == "pages":
        pages()
        return
    if arguments.data is None:
        parser.error("--data is the folder of the datasets; only --only pages needs none")
    if arguments.only == "stream":
        stream(Path(arguments.data) / FOLDERS["brain-mri"][0])
        return
    print("| dataset | from | images / s | peak GiB | |\n|---|---|---|---|---|")
    for dataset in [arguments.only] if arguments.only else FOLDERS:
        for folder in (Path(arguments.data) / name for name in FOLDERS[dataset]):
            for mode in MODES if folder.is_dir() else ():
                command = [sys.executable, __file__, "--data", arguments.data, "--line", dataset, str(folder), mode]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                result = [line[7:] for line in done.stdout.splitlines() if line.startswith("RESULT ")]
                if result or "needs pairs" not in done.stderr:  # one slice a stack has no pairs
                    print(
                        f"| {folder.name} | {mode} | {result[0] if result else done.stderr.splitlines()[-1] + ' | | '}"
                        " |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
