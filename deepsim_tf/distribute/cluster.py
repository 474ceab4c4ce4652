"""The processes of a training on several machines: who they are, which of them writes, and whether they agree."""

import json
import os
import shutil

import tensorflow as tf


def tf_config_workers():
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


def find_cluster():
    """What tells this process the cluster and its own place there."""
    if os.environ.get("TF_CONFIG"):
        if not tf_config_workers():
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


def multi_worker(devices):
    """The strategy of TF_CONFIG or SLURM, with so many GPUs of each machine (None: all)."""
    resolver = find_cluster()
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
