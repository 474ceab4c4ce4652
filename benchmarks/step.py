"""Time a training step: XLA on and off, and the price of each loss, as ratios in one run.

    python benchmarks/step.py                 # all of it, about 10 minutes on two cores
    TF_ENABLE_ONEDNN_OPTS=0 python benchmarks/step.py --sizes 64,64,64 --xla off
    python benchmarks/step.py --device gpu    # 160 x 192 x 224, float32 and bfloat16, batch 1 and 4; each line a
    process of its own

Prints a Markdown table: medians of the steps after two to warm up, and peak memory: of the process so far on a CPU, of
TensorFlow's arrays on a GPU. The numbers that decided the package's defaults are kept in benchmarks/README.md.
"""

import argparse
import itertools
import os
import resource
import statistics
import subprocess
import sys
import time

import deepsim_tf as ds  # isort: skip  (before TensorFlow: it switches oneDNN on)
import keras
import numpy as np
import tensorflow as tf

GPU_SIZE = "160,192,224"  # of the paper's brains


class Stopwatch(keras.callbacks.Callback):
    """Collects the seconds of each training step."""

    def on_train_begin(self, logs=None):
        """Start with an empty list."""
        self.seconds = []

    def on_train_batch_begin(self, batch, logs=None):
        """Start the clock."""
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        """Stop the clock, when the loss is here: on a GPU, a step returns before it is done."""
        float(logs["loss"])
        self.seconds.append(time.perf_counter() - self.started)


def step_seconds(shape, loss, *, backbone, features, xla, steps, batch=1):
    """Median seconds of one training step."""
    keras.utils.set_random_seed(0)
    segmentation = ds.models.segmentation_model(shape, 3, backbone=backbone, features=features)
    extractor = ds.models.FeatureExtractor.from_model(segmentation)
    similarity = {"MSE": "mse", "NCC": ds.losses.LocalNCC(), "DeepSim": ds.losses.DeepSim(extractor)}[loss]
    model = ds.models.registration_model(shape, backbone=backbone, features=features)
    model.compile("adam", similarity, regularizer=ds.losses.Diffusion(), weight=0.1, jit_compile=xla)
    images = np.random.default_rng(0).random((2, batch, *shape, 1), dtype="float32")
    batches = tf.data.Dataset.from_tensors(({"moving": images[0], "fixed": images[1]},)).repeat()
    watch = Stopwatch()
    model.fit(batches, steps_per_epoch=steps + 2, epochs=1, shuffle=False, verbose=0, callbacks=[watch])
    return statistics.median(watch.seconds[2:])


def gpu_name():
    """The name of the first GPU; ends the program where there is none."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        raise SystemExit(
            "TensorFlow sees no GPU on this machine. It needs NVIDIA's driver and `pip install 'tensorflow[and-cuda]'`."
        )
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name", gpus[0].name)


def gpu_table(arguments):
    """Print the table of a GPU; a line that does not fit its memory says so."""
    print(
        f"{gpu_name()}, TensorFlow {tf.__version__}, Keras {keras.__version__}, {arguments.backbone}"
        f" {arguments.features}\n"
    )
    print(
        "| shape | precision | batch | XLA | loss | s / step | images / s | peak GiB on the GPU"
        " |\n|---|---|---|---|---|---|---|---|"
    )
    precisions, batches, xla = ("float32", "mixed_bfloat16"), arguments.batches.split(","), arguments.xla.split(",")
    for size in arguments.sizes.split(";"):
        for line in itertools.product(precisions, batches, xla, arguments.losses.split(",")):
            command = [sys.executable, __file__, "--line", *line, "--sizes", size, "--steps", str(arguments.steps)]
            command += ["--backbone", arguments.backbone, "--features", arguments.features]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            result = [text[7:] for text in done.stdout.splitlines() if text.startswith("RESULT ")]
            if not result:
                full = (
                    "RESOURCE_EXHAUSTED" in done.stderr
                    or "ResourceExhausted" in done.stderr
                    or "out of memory" in done.stderr
                )
                result = [
                    f"{'out of memory' if full else (done.stderr.strip().splitlines() or ['no output'])[-1][:120]} | | "
                ]
            print(f"| {' x '.join(size.split(','))} | {' | '.join(line)} | {result[0]} |", flush=True)


def gpu_line(arguments, features):
    """Measure one line of the GPU's table, in this process."""
    precision, batch, xla, loss = arguments.line
    keras.config.set_dtype_policy(precision)
    shape = tuple(map(int, arguments.sizes.split(",")))
    more = {
        "backbone": arguments.backbone,
        "features": features,
        "xla": xla == "on",
        "steps": arguments.steps,
        "batch": int(batch),
    }
    seconds = step_seconds(shape, loss, **more)
    peak = (
        tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**30
        if tf.config.list_physical_devices("GPU")
        else float("nan")
    )
    print(f"RESULT {seconds:.3f} | {int(batch) / seconds:.2f} | {peak:.1f}")


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument(
        "--sizes", help=f"spatial shapes, separated by semicolons (default 256,256;64,64,64, and {GPU_SIZE} on a GPU)"
    )
    parser.add_argument("--losses", default="MSE,NCC,DeepSim")
    parser.add_argument("--xla", default="off,on")
    parser.add_argument("--batches", default="1,4", help="batch sizes on a GPU; 1 on a CPU")
    parser.add_argument("--backbone", default="voxelmorph")
    parser.add_argument("--features", default="16,32,32,32")
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument(
        "--line", nargs=4, help=argparse.SUPPRESS
    )  # precision, batch, XLA, loss: in a process of its own
    arguments = parser.parse_args()
    arguments.sizes = arguments.sizes or (GPU_SIZE if arguments.device == "gpu" else "256,256;64,64,64")
    features = tuple(map(int, arguments.features.split(",")))
    if arguments.line:
        return gpu_line(arguments, features)
    if arguments.device == "gpu":
        return gpu_table(arguments)
    print(
        f"TensorFlow {tf.__version__}, Keras {keras.__version__}, oneDNN {os.environ.get('TF_ENABLE_ONEDNN_OPTS')},",
        end=" ",
    )
    print(f"{arguments.backbone} {features}, batch 1, float32\n")
    print("| shape | loss | XLA | s / step | over the row of MSE without XLA | peak GiB |\n|---|---|---|---|---|---|")
    for size in arguments.sizes.split(";"):
        shape, first = tuple(map(int, size.split(","))), None
        for xla in arguments.xla.split(","):
            for loss in arguments.losses.split(","):
                seconds = step_seconds(
                    shape, loss, backbone=arguments.backbone, features=features, xla=xla == "on", steps=arguments.steps
                )
                first = first or seconds
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
                print(
                    f"| {' x '.join(map(str, shape))} | {loss} | {xla} | {seconds:.3f} | {seconds / first:.2f} |"
                    f" {peak:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
