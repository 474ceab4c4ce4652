"""Kill -9 at any moment, and a full disk.

The same command then ends at the weights and the history of an undisturbed run, bit for bit.

One process imports TensorFlow and forks the trainings, which are then processes of their own: a dozen imports would
cost a minute.
"""

import os
import random
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pandas
import pytest
from places import ROOT

# Dropout and batch norm (the paper's backbone), an update half done at the end of every other epoch, a schedule that
# divides the rate.
PRESET = {"backbone": "paper", "features": (2,), "epochs": 5, "steps_per_epoch": 5, "batch_size": 2, "accumulation": 2}
PRESET |= {"learning_rate": 1e-4, "patience": 2}
SERVER = f"""
import dataclasses, functools, os, resource, signal, sys, time, traceback
import deepsim_tf as ds
import numpy as np
from deepsim_tf import cli, recipes
from deepsim_tf.training import train as training

def tell(word):
    os.write(1, (word + "\\n").encode())

def stop():  # here the test kills
    tell("stopped")
    signal.pause()

class Told(training.RunFolder):
    def on_train_batch_begin(self, batch, logs=None):
        super().on_train_batch_begin(batch, logs)
        tell("batch")
        time.sleep(0.03)  # as long as the test needs to hear it

    def on_test_begin(self, logs=None):
        tell("validation")

def stop_in_savez(count, savez=np.savez):
    def patched(path, **arrays):
        nonlocal count
        savez(path, **arrays)
        count -= 1
        if not count:
            os.truncate(path, os.path.getsize(path) // 2)
            stop()
    np.savez = patched

def stop_at_replace(when, name, count, replace=os.replace):
    def patched(source, target):
        nonlocal count
        count -= name in str(target)
        if when == "after":
            replace(source, target)
        if not count:
            stop()
        if when == "before":
            replace(source, target)
    os.replace = patched

HOOKS = {{
    "none": lambda: None,
    "savez": lambda count: stop_in_savez(int(count)),
    "replace": lambda when, name, count: stop_at_replace(when, name, int(count)),
    "full": lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), resource.RLIM_INFINITY)),
}}

def train(folder, hook, *arguments):
    recipes.DATASETS["synthetic-platelet"] = dataclasses.replace(
        recipes.DATASETS["synthetic-platelet"],
        load=lambda root, split, **_: ds.data.synthetic(
            "platelet", split, size=(32, 32), count={{"train": 8, "val": 2}}[split]),
        presets={{"cpu": recipes.Preset({PRESET})}})
    training.RunFolder = functools.partial(Told, every=-1, inside=-1)  # a checkpoint after every batch
    HOOKS[hook](*arguments)
    options = ["--dataset", "synthetic-platelet", "--loss", "mse", "--verbose", "0", "--out", folder]
    return cli.main(["train-registration", *options])

tell("ready")
for line in sys.stdin:
    child = os.fork()
    if not child:
        code = 1
        try:
            code = train(*line.split())
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    tell(f"pid {{child}}")
    tell(f"ended {{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}}")
"""


class Server:
    """Forks trainings, one at a time, and hears where they are."""

    def __init__(self, folder):
        self.folder, self.errors = folder, folder / "stderr"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with open(self.errors, "w") as errors:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors, "text": True}
            self.process = subprocess.Popen([sys.executable, "-c", SERVER], env=environment, **pipes)
        self.hear("ready")  # what TensorFlow writes to stderr when it is imported is no matter here

    def start(self, run, hook="none"):
        """The command, in a new process; `hook` says where it is to stop and wait."""
        self.process.stdin.write(f"{self.folder / run} {hook}\n")
        self.process.stdin.flush()
        self.pid = int(self.hear("pid").split()[1])

    def hear(self, word, count=1):
        """Wait for the count-th line that begins with `word`."""
        for line in self.process.stdout:
            count -= line.startswith(word)
            if not count:
                return line
            assert not line.startswith("ended"), (
                f"the training {line.strip()}, where {word!r} was expected:\n{self.errors.read_text()}"
            )
        raise AssertionError(f"the server has ended:\n{self.errors.read_text()}")

    def kill(self, run, hook, moment, count, delay):
        """The command, killed with SIGKILL `delay` seconds after it has told of the count-th `moment`."""
        self.start(run, hook)
        self.hear(moment, count)
        time.sleep(delay)
        os.kill(self.pid, signal.SIGKILL)
        assert self.hear("ended") == "ended -9\n"

    def run(self, run, hook="none"):
        """The command, undisturbed; returns its exit code and what it wrote to stderr."""
        before = len(self.errors.read_text())
        self.start(run, hook)
        return int(self.hear("ended").split()[1]), self.errors.read_text()[before:]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("kill"))
    yield server
    server.process.stdin.close()
    server.process.wait(30)
    server.process.stdout.close()


@pytest.fixture(scope="module")
def undisturbed(server):
    """The folder of an undisturbed run."""
    assert server.run("undisturbed") == (0, "")
    table = pandas.read_csv(server.folder / "undisturbed" / "history.csv")
    assert table["step"].tolist() == [2, 5, 7, 10, 12]  # two batches are an update: epochs end within one
    assert table["learning_rate"].nunique() > 1  # the schedule has stepped in
    return server.folder / "undisturbed"


def checkpoints(run):
    return sorted((run / "checkpoints").glob("[!.]*"))


def arrays(checkpoint):
    """What a checkpoint holds, by name, but for its record with the times. zipfile compares each with its checksum."""
    with np.load(checkpoint) as stored:
        return {name: stored[name].tobytes() for name in stored.files if name != "state"}


def history(run):
    table = pandas.read_csv(run / "history.csv")
    assert table["epoch"].tolist() == list(range(1, len(table) + 1))  # no gap, no duplicate
    return table[[name for name in table.columns if not name.startswith("seconds")]]


def assert_same(run, other):
    pandas.testing.assert_frame_equal(history(run), history(other), check_exact=True)
    (*_, last), (*_, expected) = checkpoints(run), checkpoints(other)
    assert last.name == expected.name == "epoch_00005_batch_0000000.npz"
    assert arrays(last) == arrays(expected)  # weights, dropout's generators, Adam's moments, learning rate
    with zipfile.ZipFile(run / "model.keras") as model, zipfile.ZipFile(other / "model.keras") as expected:
        assert model.read("model.weights.h5") == expected.read("model.weights.h5")
    for folder in ("", "checkpoints"):  # nothing half-written is left
        assert {path.name for path in (run / folder).iterdir()} == {path.name for path in (other / folder).iterdir()}


def test_a_run_killed_ten_times_ends_as_an_undisturbed_one(server, undisturbed):
    rng, run = random.Random(0), server.folder / "killed"

    def batch():
        return "none", "batch", rng.randint(2, 3), rng.uniform(0, 0.08)  # a step and its checkpoint take some 0.05 s

    moments = [
        ("replace before config.json 1", "stopped", 1, 0),  # the very first file
        ("savez 1", "stopped", 1, 0),  # in the first checkpoint, whose file is half there
        batch(),
        ("replace before .npz 2", "stopped", 1, 0),  # the file is whole, and has not yet its name
        batch(),
        (
            "replace before history.csv 2",
            "stopped",
            1,
            0,
        ),  # at the end of an epoch, before its checkpoint (1: restored)
        ("savez 2", "stopped", 1, 0),
        ("none", "validation", 1, rng.uniform(0, 0.05)),
        ("replace after .npz 2", "stopped", 1, 0),  # the new checkpoint and all old ones
        ("replace before model.keras 1", "stopped", 1, 0),  # the last file
    ]
    reached = []
    for moment in moments:
        server.kill("killed", *moment)
        reached.append(checkpoints(run)[-1].name if checkpoints(run) else "none")
        for checkpoint in checkpoints(run):
            arrays(checkpoint)  # a name stands for a whole file
        if (run / "history.csv").exists():
            history(run)
    assert reached[:2] == ["none", "none"] and reached == ["none", "none", *sorted(reached[2:])]
    assert len(set(reached)) >= 8  # each life went on where the one before it was killed
    assert server.run("killed") == (0, "")
    assert_same(run, undisturbed)


def test_a_full_disk_is_one_line_and_the_same_command_goes_on_when_there_is_space(server, undisturbed):
    run = server.folder / "full"
    server.kill("full", "none", "batch", 4, 0)
    before = {checkpoint: arrays(checkpoint) for checkpoint in checkpoints(run)}
    assert before

    size = (
        checkpoints(run)[-1].stat().st_size // 2
    )  # no file may become larger: the checkpoints find no space, and all else does
    code, errors = server.run("full", f"full {size}")
    assert code == 2 and errors.count("\n") == 1
    assert (
        errors.startswith("deepsim: ")
        and "File too large" in errors
        and str(run / "checkpoints" / "epoch_0000") in errors
    )
    assert {checkpoint: arrays(checkpoint) for checkpoint in checkpoints(run)} == before
    assert sorted(before) == sorted((run / "checkpoints").iterdir())  # no debris

    assert server.run("full") == (0, "")
    assert_same(run, undisturbed)
