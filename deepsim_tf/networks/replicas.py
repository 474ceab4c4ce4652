"""What a step needs to know of the other replicas (devices) that share its batch."""

import tensorflow as tf

from deepsim_tf import checks, distribute


def replicas():
    """Number of devices that share a batch."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def batch_size(x):
    """Number of images in this replica's part."""
    return tf.shape(tf.nest.flatten(x)[0])[0]


def whole(loss):
    """A loss of a replica without Keras's division by the number of replicas: the mean over its own images."""
    return loss * tf.cast(replicas(), loss.dtype)


def shared(x):
    """What a replica trains on, and what its loss weighs, so that the replicas' sum is the global batch's mean.

    Keras divides by the number of replicas, which is the same thing where all parts are equal.

    Returns:
        `(x, weight)`: the images, after a check on the device that every replica has some; None for a weight of 1.
    """
    if replicas() == 1 or tf.nest.flatten(x)[0].shape[0] is not None:  # a size known beforehand is the same everywhere
        return x, None
    here = batch_size(x)
    total = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, here)
    message = f"{checks.MARKER}A batch to train on must have an image for each of {replicas()} devices. Received:"
    enough = tf.debugging.Assert(total >= replicas(), [message, total, "image(s)"])
    with tf.control_dependencies([enough]):
        weight = tf.cast(here * replicas(), tf.float32) / tf.cast(total, tf.float32)
        return tf.nest.map_structure(tf.identity, x), weight


def of_some(network, x):
    """What a network gives for a replica's images, of which there may be none.

    It is not asked without images: TensorFlow's convolutions by oneDNN give those the shape of their input.

    Args:
        network: a function of x.
        x: tensors (batch, ...) whose other sizes are known.
    """
    size = batch_size(x)
    some = tf.nest.map_structure(
        lambda tensor: tf.cond(size > 0, lambda: tensor, lambda: tf.zeros((1, *tensor.shape[1:]), tensor.dtype)), x
    )
    return tf.nest.map_structure(lambda tensor: tensor[:size], network(some))


def mean_results(trackers):
    """The values of keras.metrics.Mean by name: of all replicas, on each of them; NaN where nothing was counted."""
    sums = tf.stack([tf.convert_to_tensor(part) for mean in trackers.values() for part in (mean.total, mean.count)])
    if replicas() > 1 and tf.distribute.get_replica_context():  # outside the replicas, reading adds them up
        sums = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, sums)
    return dict(zip(trackers, tf.unstack(sums[::2] / sums[1::2]), strict=True))


def results_of_replica(results):
    """The results of a step in the shape that Keras can average over the replicas.

    Over those of several workers it takes the mean of axis 0, which numbers do not have.
    """
    if distribute.workers(tf.distribute.get_strategy()) == 1:
        return results
    return {name: tf.reshape(value, [1]) for name, value in results.items()}
