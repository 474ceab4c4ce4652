"""Registration without training on real pairs, beside ANTs' SyN and elastix, on the same pairs in one run.

    python benchmarks/pairwise.py --set phc-u373 --data PATH [--peer-python PYTHON] [--every 5] [--split val]

Dice, folds and seconds are means over the pairs, as `ds.evaluate` measures them. The others run under a Python that has
antspyx and itk-elastix (benchmarks/peers/requirements.txt): SyN without an affine part ("SyNOnly"), as the pairs of
these sets lie on each other, with its defaults, which are mutual information and no step at full size, and with
cross-correlation of radius 4 down to full size ("SyNOnly-CC"); elastix' "bspline" parameters. Their rows are left out
without it. Seconds of the optimiser do not hold the tracing of its graphs; the first call, which does, is printed
apart.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import deepsim_tf as ds  # isort: skip
import numpy as np
import pandas

from deepsim_tf.evaluation.measure import evaluate
from deepsim_tf.inference.arrays import predict, warp_labels
from deepsim_tf.metrics.table import Case, measured
from deepsim_tf.recipes import DATASETS

PEER = Path(__file__).resolve().parent / "peers" / "pairwise_side.py"


def cases(images, every):
    """The pairs that are measured, by their number."""
    return range(0, len(images.pairs()), every)


def row(images, k, flow, seconds):
    """The numbers of one pair."""
    _, _, moving_labels, fixed_labels = images.pair(k)
    case = Case(
        flow=flow,
        spacing=images.spacing,
        classes=images.classes,
        fixed_labels=fixed_labels,
        warped_labels=warp_labels(moving_labels, flow),
        landmarks=None,
    )
    found = measured(case, quick=True)
    return {name: found[name] for name in ("dice", "folds", "sd_log_jacobian")} | {"seconds": seconds}


def ours(images, numbers, solver):
    """The rows of a solver, and the seconds of its first call."""
    rows, first = [], None
    for k in numbers:
        moving, fixed, *_ = images.pair(k)
        if first is None:
            started = time.perf_counter()
            predict(solver, moving, fixed)
            first = time.perf_counter() - started
        started = time.perf_counter()
        flow = predict(solver, moving, fixed)[1]
        rows.append(row(images, k, flow, time.perf_counter() - started))
    return pandas.DataFrame(rows), first


def theirs(images, numbers, method, python):
    """The rows of ANTs or elastix, which read and write arrays."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for k in numbers:
            moving, fixed, *_ = images.pair(k)
            np.savez(Path(folder) / "pair.npz", moving=moving[..., 0], fixed=fixed[..., 0])
            command = [python, str(PEER), method, folder]
            # In that folder, because elastix leaves files where it runs.
            done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
            seconds = json.loads(done.stdout.splitlines()[-1])["seconds"]
            rows.append(row(images, k, np.load(Path(folder) / "flow.npy"), seconds))
    return pandas.DataFrame(rows)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", required=True, choices=DATASETS, dest="name")
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--every", type=int, default=1, help="take every so many pairs")
    parser.add_argument("--peer-python", help="a Python with antspyx and itk-elastix")
    parser.add_argument("--method", action="append", default=[], help="of the others: SyNOnly, SyNOnly-CC, elastix")
    parser.add_argument("--optimizer", action="append", default=[], help="arguments of ds.PairwiseOptimizer, as JSON")
    arguments = parser.parse_args()
    images = DATASETS[arguments.name].load(arguments.data, arguments.split, cache=None)
    numbers = cases(images, arguments.every)
    print(
        "| method | pairs | Dice | folds, % | SD log J | seconds a pair | first call |\n|---|---|---|---|---|---|---|"
    )

    def show(name, table, first=None):
        mean = table.mean(numeric_only=True)
        numbers = f"{mean.dice:.4f} | {100 * mean.folds:.4f} | {mean.sd_log_jacobian:.3f} | {mean.seconds:.2f}"
        print(f"| {name} | {len(table)} | {numbers} | {'' if first is None else f'{first:.1f}'} |", flush=True)

    show("identity", evaluate(None, images, quick=True, verbose=0).iloc[list(numbers)])
    for text in arguments.optimizer or ["{}"]:
        show(f"PairwiseOptimizer {text}", *ours(images, numbers, ds.PairwiseOptimizer(**json.loads(text))))
    if peer := shutil.which(arguments.peer_python or ""):
        for method in arguments.method or ["SyNOnly", "SyNOnly-CC", "elastix"]:
            show(method, theirs(images, numbers, method, os.path.abspath(peer)))


if __name__ == "__main__":
    main()
