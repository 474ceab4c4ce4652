"""How the devices share a batch: each gets its part of the same global batches, in the same order."""

import tensorflow as tf


def check_batch(strategy, batch_size):
    """Refuse a batch that cannot be divided evenly."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise ValueError(
            f"batch_size={batch_size} cannot be divided among {replicas} devices."
            f" Choose a multiple of {replicas} (--batch-size), or another number of devices."
        )


def share(strategy, dataset, batch_size=None):
    """A dataset of global batches as a distributed one: each replica gets its part of every batch.

    The parts differ by one image at most, the first ones being the larger. Every worker runs the whole pipeline,
    because augmentation is drawn for a whole batch; so it must give the same batches on all of them, as those of
    `ds.data` do. (What tf.distribute does by itself, sharding the elements of a generator, would give the workers other
    batches.) `fit` and `evaluate` of this package's models do this by themselves.

    Args:
        strategy: a tf.distribute.Strategy.
        dataset: tf.data.Dataset of global batches.
        batch_size: images in a batch. Given, it must be a multiple of the number of replicas.

    Returns:
        The dataset itself where there is one replica, else a tf.distribute.DistributedDataset. Keras cannot count its
        batches: give `steps_per_epoch` to `fit`.

    Raises:
        ValueError: a batch_size that cannot be divided.

    Example:
        >>> strategy = ds.distribute.choose("mirrored")
        >>> batches = ds.distribute.share(strategy, ds.data.registration_dataset(images, 4, training=True))
    """
    if batch_size is not None:
        check_batch(strategy, batch_size)
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return dataset

    def of_worker(context):
        here = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * here

        def parts(*batch):  # one element for each device of this worker
            found = [tf.data.Dataset.from_tensors(_part(batch, k, replicas)) for k in range(first, first + here)]
            for part in found[1:]:
                found[0] = found[0].concatenate(part)
            return found[0]

        return dataset.flat_map(parts).prefetch(2 * here)

    return strategy.distribute_datasets_from_function(of_worker)


def _part(batch, k, replicas):
    """Images of the k-th replica."""

    def cut(tensor):
        size = tensor.shape[0] if tensor.shape[0] is not None else tf.shape(tensor)[0]
        begin, end = (-(-i * size // replicas) for i in (k, k + 1))
        return tensor[begin:end]

    return tf.nest.map_structure(cut, batch)
