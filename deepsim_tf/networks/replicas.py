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


def weighted(loss, x):
    """A loss of a replica, weighted by the images in its part, so that the replicas' sum is the global batch's mean.

    Keras divides by the number of replicas, which is the same thing where all parts are equal.
    """
    if replicas() == 1 or tf.nest.flatten(x)[0].shape[0] is not None:  # a size known beforehand is the same everywhere
        return loss
    here = batch_size(x)
    total = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, here)
    message = f"{checks.MARKER}A batch to train on must have an image for each of {replicas()} devices. Received:"
    enough = tf.debugging.Assert(total >= replicas(), [message, total, "image(s)"])
    with tf.control_dependencies([enough]):
        return loss * tf.cast(here * replicas(), loss.dtype) / tf.cast(total, loss.dtype)


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
