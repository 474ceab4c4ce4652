"""What tests of several devices share.

Scripts in fresh processes, as devices and clusters are chosen before TensorFlow begins.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile

from places import ROOT

TWO_CPUS = """
import deepsim_tf as ds
import tensorflow as tf
cpu, part = tf.config.list_physical_devices("CPU")[0], tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(cpu, [part] * 2)
"""


class Process(subprocess.Popen):
    """A fresh Python process that runs `code`; what it prints goes to a file, as a full pipe would stop it."""

    def __init__(self, code, *arguments, **variables):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("TF_", "KERAS_", "SLURM_"))}
        environment.update({"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", **variables})
        self.output = tempfile.TemporaryFile("w+")
        command = [sys.executable, "-c", code, *map(str, arguments)]
        super().__init__(command, env=environment, stdout=self.output, stderr=subprocess.STDOUT)

    def printed(self):
        """All that was printed so far."""
        self.output.seek(0)
        return self.output.read()


def ended(processes):
    """End processes that still run."""
    for process in processes:
        process.kill()
        process.wait()


def start_cluster(code, *arguments, count=2):
    """As many processes, each with the TF_CONFIG of a cluster on this machine."""
    sockets = [socket.socket() for _ in range(count)]
    for found in sockets:
        found.bind(("localhost", 0))
    addresses = [f"localhost:{found.getsockname()[1]}" for found in sockets]
    for found in sockets:
        found.close()
    cluster = [{"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}} for i in range(count)]
    return [Process(code, *arguments, TF_CONFIG=json.dumps(config)) for config in cluster]


def finish(*processes, timeout=600):
    """Wait for processes, all of which must end well."""
    try:
        for process in processes:
            assert process.wait(timeout) == 0, process.printed()[-3000:]
    finally:
        ended(processes)
