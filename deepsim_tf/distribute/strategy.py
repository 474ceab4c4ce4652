"""Where a training runs.

On one device, on several of this machine, or on several machines; the batches and the numbers are the same.

A strategy of tf.distribute is chosen from two arguments and the environment (TF_CONFIG, or SLURM's variables). It is no
part of a recipe: the batch of the recipe is the global one, each replica (device) takes an equal part of it, and a run
may go on with another number of them.
"""

import contextlib
import json
import os
import re
import shutil

import tensorflow as tf

from deepsim_tf import _compat, checks

STRATEGIES = ("one", "mirrored", "multi-worker")
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
    tf.errors.CancelledError,
    tf.errors.InternalError,
    tf.errors.FailedPreconditionError,
)


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
        if strategy.num_replicas_in_sync > 1:
            _compat.repair_distribution(several_workers=workers(strategy) > 1)
        return strategy
    if strategy is None:
        if len(_tf_config_workers()) > 1:
            strategy = "multi-worker"
        elif devices is None:
            return choose(tf.distribute.get_strategy())
        else:
            strategy = "mirrored" if devices > 1 else "one"
    checks.known("strategy", strategy, STRATEGIES)
    if strategy == "multi-worker":
        return _multi_worker(devices)
    if strategy == "one" and devices not in (None, 1):
        raise ValueError(f"strategy 'one' is for one device. Received: devices={devices}. Choose strategy 'mirrored'.")
    if strategy == "one":
        return tf.distribute.get_strategy()
    available = _devices()
    count = devices or len(available)
    if count > len(available):
        raise ValueError(f"devices={count} is more than there are: {', '.join(available)}.")
    _compat.repair_distribution(several_workers=False)
    return tf.distribute.MirroredStrategy(available[:count])


def _devices():
    """Names of the devices of this machine that a training may use: its GPUs, else its logical CPUs."""
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    return [f"{kind}:{i}" for i in range(len(tf.config.list_logical_devices(kind)))]


def _tf_config_workers():
    """Addresses of the chief and the workers that TF_CONFIG names."""
    text = os.environ.get("TF_CONFIG", "")
    try:
        cluster = json.loads(text or "{}").get("cluster", {})
        return [*cluster.get("chief", []), *cluster.get("worker", [])]
    except (ValueError, AttributeError, TypeError):
        example = '{"cluster": {"worker": ["host1:12345", "host2:12345"]}, "task": {"type": "worker", "index": 0}}'
        raise ValueError(
            f"TF_CONFIG is not what TensorFlow reads. Expected, on the first of two machines: {example}. Received:"
            f" {text}."
        ) from None


def _resolver():
    """What tells this process the cluster and its own place there."""
    if os.environ.get("TF_CONFIG"):
        if not _tf_config_workers():
            raise ValueError(f"TF_CONFIG names no worker. Received: {os.environ['TF_CONFIG']}.")
        return tf.distribute.cluster_resolver.TFConfigClusterResolver()
    if "SLURM_PROCID" not in os.environ:
        raise ValueError(
            "strategy 'multi-worker' needs the machines: set TF_CONFIG on each of them, or start with srun"
            " (SLURM_PROCID is not set)."
        )
    # Two jobs that share a machine must not share ports. Without GPUs the resolver names no task at all: it deals out
    # those of this fiction.
    port = 10000 + int(os.environ.get("SLURM_JOB_ID", 0)) % 20000
    gpus = {} if shutil.which("nvidia-smi") else {"gpus_per_node": 2**12, "gpus_per_task": 1, "auto_set_gpu": False}
    try:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(port_base=port, **gpus)
        resolver.cluster_spec()
    except (KeyError, RuntimeError, ValueError) as error:
        raise ValueError(f"SLURM's variables name no cluster ({error}). Start with srun, or set TF_CONFIG.") from None
    return resolver


def _multi_worker(devices):
    resolver = _resolver()
    _compat.repair_distribution(several_workers=True)
    gpus = tf.config.list_physical_devices("GPU")
    if devices is not None and devices > max(len(gpus), 1):
        raise ValueError(
            f"devices={devices} is more than a worker has: {len(gpus)} GPU(s). Without GPUs a worker is one device."
        )
    try:
        if devices is not None and gpus:
            tf.config.set_visible_devices(gpus[:devices], "GPU")
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except RuntimeError as error:  # of tf.config and of MultiWorkerMirroredStrategy, each in its words
        raise ValueError(
            f"strategy 'multi-worker' must be chosen before TensorFlow computes anything in this process ({error})."
        ) from None


def workers(strategy):
    """Number of processes of a strategy."""
    resolver = strategy.cluster_resolver
    cluster = resolver.cluster_spec().as_dict() if resolver else {}
    return max(1, sum(len(cluster.get(job, [])) for job in ("chief", "worker")))


def is_chief(strategy=None):
    """Whether this process is the one that writes."""
    resolver = (strategy or tf.distribute.get_strategy()).cluster_resolver
    if resolver is None or resolver.task_type in (None, "chief"):
        return True
    return resolver.task_id == 0 and "chief" not in resolver.cluster_spec().as_dict()


def check_batch(strategy, batch_size):
    """Refuse a batch that cannot be divided evenly."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise ValueError(
            f"batch_size={batch_size} cannot be divided among {replicas} devices."
            f" Choose a multiple of {replicas} (--batch-size), or another number of devices."
        )


def share(strategy, dataset, batch_size):
    """A dataset of global batches as a distributed one.

    Each replica gets its slice of the same batches, in the same order.

    Every worker runs the whole pipeline, because augmentation is drawn for a whole batch. (What tf.distribute does by
    itself, sharding the elements of the generator, would give the workers other batches.) A last, smaller batch may
    leave replicas without images.

    Args:
        strategy: a tf.distribute.Strategy.
        dataset: tf.data.Dataset of at most `batch_size` images an element.
        batch_size: global, a multiple of the number of replicas.
    """
    if strategy.num_replicas_in_sync == 1:
        return dataset
    size = batch_size // strategy.num_replicas_in_sync

    def of_worker(context):
        here = strategy.num_replicas_in_sync // context.num_input_pipelines
        first = context.input_pipeline_id * here

        def slices(*batch):  # one element for each device of this worker
            parts = [
                tf.nest.map_structure(lambda t, k=k: t[k * size : (k + 1) * size], batch)
                for k in range(first, first + here)
            ]
            found = tf.data.Dataset.from_tensors(parts[0])
            for part in parts[1:]:
                found = found.concatenate(tf.data.Dataset.from_tensors(part))
            return found

        return dataset.flat_map(slices).prefetch(2 * here)

    return strategy.distribute_datasets_from_function(of_worker)


def meet(strategy, what, number):
    """Wait for all workers, and refuse a number that is not the same on each of them."""
    if workers(strategy) == 1:
        return

    def sums():
        together = tf.distribute.get_replica_context().all_reduce
        return together(tf.distribute.ReduceOp.SUM, tf.constant([number, number * number], tf.int64))

    found = tf.function(lambda: strategy.run(sums))()
    total, squares = strategy.experimental_local_results(found)[0].numpy()
    if (
        total * total != squares * strategy.num_replicas_in_sync
    ):  # equal only where all numbers are (Cauchy and Schwarz)
        raise ValueError(
            f"The workers do not agree on {what}: it is {number} here. All must see the same run folder, on a shared"
            " file system."
        )


@contextlib.contextmanager
def cluster_errors(strategy):
    """Turn the end of another worker into one sentence."""
    try:
        yield
    except LOST as error:
        if workers(strategy) == 1:
            raise
        found = re.search(
            r"[^\n]*(closed|reset|refused|is down|heartbeat|unavailable|timed out)[^\n]*", str(error), re.IGNORECASE
        )
        reason = " ".join(found.group().split())[:200] if found else "no reason given"
        raise ConnectionError(
            "Another worker of the cluster has stopped, and this one stops too."
            " Start the same command again on all: the run continues from its newest checkpoint."
            f" ({type(error).__name__}: {reason})"
        ) from None
