"""One device, two devices and two processes: the same weights, the same numbers; a lost worker; what cannot be had."""

import json
import signal

import deepsim_tf as ds  # isort: skip
import keras
import numpy as np
import pandas
import pytest
import tensorflow as tf
from cluster import TWO_CPUS, Process, ended, finish, start_cluster

from deepsim_tf import distribute, recipes, training

# Images of 16 x 16; five for validation are a batch of 4 and one of 1, which leaves a replica without an image.
RECIPE = """
from deepsim_tf import recipes, training
import sys
COUNT = {"train": 12, "val": 5, "test": 2}
def small(root, split, **_):
    return ds.data.synthetic("platelet", split, size=(32, 32), count=COUNT[split])

import dataclasses
recipes.DATASETS["synthetic-platelet"] = dataclasses.replace(recipes.DATASETS["synthetic-platelet"], load=small)
SIZE = {"downsample": 2, "backbone": "paper", "features": (2, 4), "dropout": False, "batch_size": 4}
SIZE |= {"epochs": 2, "steps_per_epoch": 10, "extractor": sys.argv[1] + "/extractor.keras"}
recipe = recipes.registration("synthetic-platelet", "cpu", "deepsim", **SIZE)
"""
MIRRORED = (
    TWO_CPUS
    + RECIPE
    + """
training.train_registration(recipe, sys.argv[1] + "/one", verbose=0)
training.train_registration(recipe, sys.argv[1] + "/two", devices=2, verbose=0)
"""
)
WORKER = (
    "import deepsim_tf as ds"
    + RECIPE
    + """
import os, signal
from deepsim_tf.training import train
from deepsim_tf.training.callbacks import RunFolder

class Killed(RunFolder):
    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        if self.epoch == 1 and batch == 4 and self.folder != self.source:  # on the worker that does not write
            os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[2] == "killed":
    train.RunFolder = Killed
training.train_registration(recipe, sys.argv[1] + "/workers", verbose=0)
"""
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with the runs of one device and of two; and the weights before."""
    folder = tmp_path_factory.mktemp("distribute")
    keras.utils.set_random_seed(1)
    ds.models.segmentation_model((16, 16), 3, backbone="paper", features=(2, 4)).save(folder / "extractor.keras")
    finish(Process(MIRRORED, folder))
    keras.utils.set_random_seed(0)
    begin = ds.models.registration_model((16, 16), classes=3, backbone="paper", features=(2, 4), dropout=False)
    return folder, begin.get_weights()


def apart(trained, run):
    """The distance of a run's weights from those of one device, over the distance that these moved."""
    folder, begin = trained
    one, other = (keras.models.load_model(folder / name / "model.keras").get_weights() for name in ("one", run))

    def distance(a, b):
        return np.sqrt(sum(((x - y) ** 2).sum() for x, y in zip(a, b, strict=True)))

    assert distance(one, begin) > 0.1  # twenty steps of 1e-3, and the statistics of batch norm
    return distance(one, other) / distance(one, begin)


def losses(folder):
    return pandas.read_csv(folder / "history.csv").drop(columns=["seconds", "seconds_per_step"])


def test_two_devices_end_at_the_weights_and_the_losses_of_one(trained):
    assert apart(trained, "two") < 1e-2
    pandas.testing.assert_frame_equal(losses(trained[0] / "two"), losses(trained[0] / "one"), rtol=1e-4, atol=1e-7)


def test_a_lost_worker_stops_the_other_within_a_minute_and_the_cluster_continues_to_the_same_weights(trained):
    folder = trained[0]
    chief, other = start_cluster(WORKER, folder, "killed")
    try:
        assert other.wait(600) == -signal.SIGKILL, other.printed()[-3000:]
        assert chief.wait(60) == 1
    finally:
        ended([chief, other])
    assert "ConnectionError: Another worker of the cluster has stopped" in chief.printed()
    assert losses(folder / "workers")["epoch"].tolist() == [1]

    finish(*start_cluster(WORKER, folder, "continued"))
    assert apart(trained, "workers") < 1e-2
    pandas.testing.assert_frame_equal(losses(folder / "workers"), losses(folder / "one"), rtol=1e-4, atol=1e-7)
    assert {path.name for path in (folder / "workers").iterdir()} == {path.name for path in (folder / "one").iterdir()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strategy": "tpu"}, "Unknown strategy 'tpu'. Available: one, mirrored, multi-worker"),
        ({"devices": 0}, "devices must be a number of devices, at least 1. Received: devices=0"),
        ({"devices": 64}, "devices=64 is more than there are: "),
        ({"strategy": "one", "devices": 2}, "strategy 'one' is for one device. Received: devices=2"),
        ({"strategy": "multi-worker"}, "needs the machines: set TF_CONFIG on each of them, or start with srun"),
    ],
)
def test_what_cannot_be_had_is_refused(monkeypatch, arguments, message):
    for name in ("TF_CONFIG", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match=message):
        distribute.choose(**arguments)


@pytest.mark.parametrize("text", ["{", '{"cluster": 3}', '["localhost:1"]'])
def test_a_broken_tf_config_is_shown_beside_what_is_expected(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(
        ValueError, match="TF_CONFIG is not what TensorFlow reads. Expected, on the first of two machines: "
    ):
        distribute.choose()


def test_a_cluster_that_comes_too_late_is_refused(monkeypatch):
    tf.constant(1.0) + 1.0  # TensorFlow has begun
    cluster = {"cluster": {"worker": ["localhost:1", "localhost:2"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    with pytest.raises(ValueError, match="must be chosen before TensorFlow computes anything in this process"):
        distribute.choose()


def test_slurm_names_the_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    step = {
        "PROCID": "1",
        "STEP_NUM_TASKS": "3",
        "STEP_NODELIST": "node[1-2]",
        "STEP_TASKS_PER_NODE": "2,1",
        "JOB_ID": "20007",
    }
    for name, value in step.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    resolver = distribute.find_cluster()
    assert resolver.cluster_spec().as_dict() == {"worker": ["node1:10007", "node1:10008", "node2:10007"]}
    assert (resolver.task_type, resolver.task_id) == ("worker", 1)


class Three:
    """A strategy's number of replicas."""

    num_replicas_in_sync, cluster_resolver = 3, None


def test_a_batch_that_cannot_be_divided_is_refused_before_there_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(distribute, "choose", lambda strategy, devices: Three())
    recipe = recipes.registration("synthetic-platelet", "cpu", "mse", batch_size=4)
    with pytest.raises(ValueError, match="batch_size=4 cannot be divided among 3 devices. Choose a multiple of 3"):
        training.train_registration(recipe, tmp_path / "run", devices=3)
    assert not (tmp_path / "run").exists()
