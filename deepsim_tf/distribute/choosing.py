"""Where a training runs: on one device, on several of this machine, or on several machines.

A strategy of tf.distribute is chosen from two arguments and the environment (TF_CONFIG, or SLURM's variables). It is no
part of a recipe: the batch of the recipe is the global one, each replica (device) takes an equal part of it, and a run
may go on with another number of them.
"""

import tensorflow as tf

from deepsim_tf import checks
from deepsim_tf.distribute.cluster import multi_worker, tf_config_workers

STRATEGIES = ("one", "mirrored", "multi-worker")


def choose(strategy=None, devices=None):
    """The tf.distribute strategy of a training.

    Args:
        strategy: "one" device, "mirrored" over devices of this machine, or "multi-worker" over the machines of
            TF_CONFIG or of a SLURM step, which must be chosen before TensorFlow computes anything in this process; or a
            tf.distribute.Strategy. Default: multi-worker where TF_CONFIG names more than one worker, mirrored where
            `devices` is above 1, else the strategy in whose scope this is called.
        devices: how many GPUs of this machine (logical CPUs where there is no GPU). Default: all with "mirrored".

    Returns:
        A tf.distribute.Strategy.

    Raises:
        ValueError: an unknown strategy, more devices than there are, no cluster in the environment, or TensorFlow has
            already begun.
    """
    if devices is not None and (not isinstance(devices, int) or isinstance(devices, bool) or devices < 1):
        raise ValueError(f"devices must be a number of devices, at least 1. Received: devices={devices!r}.")
    if isinstance(strategy, tf.distribute.Strategy):
        if devices is not None:
            raise ValueError(
                f"A tf.distribute.Strategy has its devices. Received: devices={devices} too. Leave it out."
            )
        return strategy
    if strategy is None:
        if len(tf_config_workers()) > 1:
            strategy = "multi-worker"
        elif devices is None:
            return choose(tf.distribute.get_strategy())
        else:
            strategy = "mirrored" if devices > 1 else "one"
    checks.known("strategy", strategy, STRATEGIES)
    if strategy == "multi-worker":
        return multi_worker(devices)
    if strategy == "one" and devices not in (None, 1):
        raise ValueError(f"strategy 'one' is for one device. Received: devices={devices}. Choose strategy 'mirrored'.")
    if strategy == "one":
        return tf.distribute.get_strategy()
    available = _devices()
    count = devices or len(available)
    if count > len(available):
        raise ValueError(f"devices={count} is more than there are: {', '.join(available)}.")
    return tf.distribute.MirroredStrategy(available[:count])


def _devices():
    """Names of the devices of this machine that a training may use: its GPUs, else its logical CPUs."""
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    return [f"{kind}:{i}" for i in range(len(tf.config.list_logical_devices(kind)))]
