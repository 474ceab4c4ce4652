"""What a training leaves in its process: a study of many trainings must not run out of memory."""

import json
import os
import subprocess
import sys

import pytest
from places import ROOT

WARM_UP, TRAININGS = 1, 5
MOST = 20  # MB that a training may leave: compiled code and TensorFlow's own records, no image and no graph
SCRIPT = f"""
import dataclasses, gc, json, sys, weakref
import deepsim_tf as ds
import keras
from deepsim_tf import recipes, training

images = weakref.WeakSet()

def load(root, split, **_):
    found = ds.data.synthetic("platelet", split, size=(32, 32), count={{"train": 4, "val": 2}}[split])
    images.add(found)
    return found

recipes.DATASETS["synthetic-platelet"] = dataclasses.replace(recipes.DATASETS["synthetic-platelet"], load=load)
small = {{"features": (2,), "epochs": 1, "steps_per_epoch": 2, "batch_size": 2}}
recipe = recipes.registration("synthetic-platelet", "cpu", "ncc", **small)
for run in range({WARM_UP + TRAININGS}):
    model = training.train_registration(recipe, f"{{sys.argv[1]}}/{{run}}", verbose=0)
    if run == 0:  # a trained model still trains, with an update in it
        pair = {{name: keras.ops.ones((2, 32, 32, 1)) * value for name, value in (("moving", 0.5), ("fixed", 0.2))}}
        assert keras.ops.isfinite(model.train_on_batch(pair)[0])
    del model
    gc.collect()
    with open("/proc/self/status") as status:
        rss = next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024
    graphs = sum(type(found).__name__ == "FuncGraph" for found in gc.get_objects())
    print(json.dumps({{"rss": rss, "graphs": graphs, "images": len(images)}}))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads the size of the process from /proc")
def test_five_trainings_in_one_process_leave_no_images_and_no_graphs_and_little_else(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path], env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == WARM_UP + TRAININGS
    assert {left["images"] for left in found} == {0}
    warm, *later = found[WARM_UP - 1 :]
    assert {left["graphs"] for left in later} == {warm["graphs"]}
    assert (later[-1]["rss"] - warm["rss"]) / TRAININGS < MOST  # a mean: what the allocator gives back comes in lumps
