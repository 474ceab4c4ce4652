"""Time forward and backward of each loss, beside VoxelMorph's and MONAI's local NCC, as ratios in one run.

    python benchmarks/losses.py                          # about 5 minutes on two cores
    python benchmarks/losses.py --sizes "256,256"

Each group of lines is measured in a process of its own: once with oneDNN on, as this package sets it, once with
TF_ENABLE_ONEDNN_OPTS=0, as TensorFlow is installed on CPUs without VNNI or AMX, and once for MONAI where it and PyTorch
are installed (PYTHONPATH may name their folder). Lines of one group alternate, so that another program slows all of
them. Prints a
Markdown table: medians of the calls after two to warm up. The numbers that decided what runs under XLA are kept in
benchmarks/README.md.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np

GROUPS = {"oneDNN": "1", "no oneDNN": "0", "MONAI": "1"}  # TF_ENABLE_ONEDNN_OPTS of each


def medians(calls, repeats):
    """Median seconds of each function, called in turns."""
    seconds = {name: [] for name in calls}
    for repeat in range(repeats + 2):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if repeat >= 2:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def tensorflow_calls(shape, only_ncc):
    """{name: function that computes a loss and its gradient once}."""
    import deepsim_tf as ds  # isort: skip  (before TensorFlow)
    import keras
    import tensorflow as tf

    from deepsim_tf._compat import vxm

    keras.utils.set_random_seed(0)
    losses = ds.losses
    image, flow = (1, *shape, 1), (1, *shape, len(shape))
    measures = {
        "LocalNCC": (losses.LocalNCC(), image),
        "VoxelMorph NCC": (lambda a, b: tf.reduce_mean(vxm.losses.NCC().loss(a, b)), image),
    }
    if not only_ncc:
        segmentation = ds.models.segmentation_model(shape, 3, features=(8, 16, 16))
        measures = {
            "MSE": (keras.losses.MeanSquaredError(), image),
            **measures,
            "NMI": (losses.NMI(), image),
            "NMI, all voxels": (losses.NMI(fraction=1), image),
            "MIND": (losses.MIND(), image),
            "DeepSim (8, 16, 16)": (losses.DeepSim(ds.models.FeatureExtractor.from_model(segmentation)), image),
            "SoftDice, 3 classes": (losses.SoftDice(), (1, *shape, 3)),
            "Diffusion": (losses.Diffusion(), flow),
            "VoxelMorph Grad": (lambda a, b: tf.reduce_mean(vxm.losses.Grad("l2").loss(a, b)), flow),
            "BendingEnergy": (losses.BendingEnergy(), flow),
        }
    rng = np.random.default_rng(0)

    def prepare(measure, size):
        fixed, warped = (tf.constant(rng.random(size, dtype="float32")) for _ in range(2))

        @tf.function(autograph=False)
        def step(fixed, warped):
            with tf.GradientTape() as tape:
                tape.watch(warped)
                loss = measure(fixed, warped)
            return tape.gradient(loss, warped)

        return lambda: step(fixed, warped).numpy()

    return {name: prepare(*case) for name, case in measures.items()}


def monai_calls(shape):
    """MONAI's local NCC on PyTorch, with as many threads as it takes by itself."""
    import torch
    from monai.losses import LocalNormalizedCrossCorrelationLoss

    loss = LocalNormalizedCrossCorrelationLoss(spatial_dims=len(shape), kernel_size=9)
    fixed, warped = torch.rand(1, 1, *shape), torch.rand(1, 1, *shape, requires_grad=True)
    return {"MONAI NCC": lambda: loss(warped, fixed).backward()}


def measure_group(group, shape, repeats):
    """The medians of one group, in this process; for MONAI, beside LocalNCC again, so that the ratio is of one time."""
    calls = tensorflow_calls(shape, only_ncc=group != "oneDNN")
    if group == "MONAI":
        del calls["VoxelMorph NCC"]
        calls.update(monai_calls(shape))
    return medians(calls, repeats)


def main():
    """Print the table, or the numbers of one group of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="64,64,64;256,256", help="spatial shapes, separated by semicolons")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--group", choices=GROUPS, help=argparse.SUPPRESS)  # in a process of its own
    arguments = parser.parse_args()
    sizes = [tuple(map(int, size.split(","))) for size in arguments.sizes.split(";")]
    if arguments.group:
        print("RESULT " + json.dumps(measure_group(arguments.group, sizes[0], arguments.repeats)))
        return
    print("| shape | process | loss | s | over LocalNCC of the process |\n|---|---|---|---|---|")
    for shape in sizes:
        for group, onednn in GROUPS.items():
            command = [
                sys.executable,
                __file__,
                "--group",
                group,
                "--sizes",
                ",".join(map(str, shape)),
                "--repeats",
                str(arguments.repeats),
            ]
            environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": onednn}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            results = [json.loads(line[7:]) for line in done.stdout.splitlines() if line.startswith("RESULT ")]
            title = f"| {' x '.join(map(str, shape))} | {group} |"
            if not results:
                print(f"{title} skipped | | {done.stderr.strip().splitlines()[-1]} |", flush=True)
                continue
            for name, seconds in results[0].items():
                print(f"{title} {name} | {seconds:.4f} | {seconds / results[0]['LocalNCC']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
