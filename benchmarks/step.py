"""Time a training step: XLA on and off, and the price of each loss, as ratios in one run.

    python benchmarks/step.py                 # all of it, about 10 minutes on two cores
    TF_ENABLE_ONEDNN_OPTS=0 python benchmarks/step.py --sizes 64,64,64 --xla off

Prints a Markdown table: medians of the steps after two to warm up, and peak memory of the process so far. The numbers that
decided the package's defaults are kept in benchmarks/README.md.
"""

import argparse
import os
import resource
import statistics
import time

import deepsim_tf as ds  # isort: skip  (before TensorFlow: it switches oneDNN on)
import keras
import numpy as np
import tensorflow as tf


class Stopwatch(keras.callbacks.Callback):
    """Collects the seconds of each training step."""

    def on_train_begin(self, logs=None):
        """Start with an empty list."""
        self.seconds = []

    def on_train_batch_begin(self, batch, logs=None):
        """Start the clock."""
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        """Stop the clock."""
        self.seconds.append(time.perf_counter() - self.started)


def step_seconds(shape, loss, *, backbone, features, xla, steps):
    """Median seconds of one training step of batch 1."""
    keras.utils.set_random_seed(0)
    segmentation = ds.models.segmentation_model(shape, 3, backbone=backbone, features=features)
    extractor = ds.models.FeatureExtractor.from_model(segmentation)
    similarity = {"MSE": "mse", "NCC": ds.losses.LocalNCC(), "DeepSim": ds.losses.DeepSim(extractor)}[loss]
    model = ds.models.registration_model(shape, backbone=backbone, features=features)
    model.compile("adam", similarity, regularizer=ds.losses.Diffusion(), weight=0.1, jit_compile=xla)
    images = np.random.default_rng(0).random((2, 1, *shape, 1), dtype="float32")
    batches = tf.data.Dataset.from_tensors(({"moving": images[0], "fixed": images[1]},)).repeat()
    watch = Stopwatch()
    model.fit(batches, steps_per_epoch=steps + 2, epochs=1, shuffle=False, verbose=0, callbacks=[watch])
    return statistics.median(watch.seconds[2:])


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="256,256;64,64,64", help="spatial shapes, separated by semicolons")
    parser.add_argument("--losses", default="MSE,NCC,DeepSim")
    parser.add_argument("--xla", default="off,on")
    parser.add_argument("--backbone", default="voxelmorph")
    parser.add_argument("--features", default="16,32,32,32")
    parser.add_argument("--steps", type=int, default=7)
    arguments = parser.parse_args()
    features = tuple(map(int, arguments.features.split(",")))
    print(f"TensorFlow {tf.__version__}, Keras {keras.__version__}, oneDNN {os.environ.get('TF_ENABLE_ONEDNN_OPTS')},", end=" ")
    print(f"{arguments.backbone} {features}, batch 1, float32\n")
    print("| shape | loss | XLA | s / step | over the row of MSE without XLA | peak GiB |\n|---|---|---|---|---|---|")
    for size in arguments.sizes.split(";"):
        shape, first = tuple(map(int, size.split(","))), None
        for xla in arguments.xla.split(","):
            for loss in arguments.losses.split(","):
                seconds = step_seconds(shape, loss, backbone=arguments.backbone, features=features, xla=xla == "on", steps=arguments.steps)
                first = first or seconds
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
                print(f"| {' x '.join(map(str, shape))} | {loss} | {xla} | {seconds:.3f} | {seconds / first:.2f} | {peak:.1f} |", flush=True)


if __name__ == "__main__":
    main()
