"""Where a training runs.

On one device, on several of this machine, or on several machines; the batches and the numbers are the same.
"""

from deepsim_tf.distribute.strategy import (
    STRATEGIES,
    check_batch,
    choose,
    cluster_errors,
    is_chief,
    meet,
    share,
    workers,
)

__all__ = ["STRATEGIES", "check_batch", "choose", "cluster_errors", "is_chief", "meet", "share", "workers"]
