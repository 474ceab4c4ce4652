"""Where a training runs.

On one device, on several of this machine, or on several machines; the batches and the numbers are the same.
"""

from deepsim_tf.distribute.choosing import STRATEGIES, choose
from deepsim_tf.distribute.cluster import find_cluster, is_chief, meet, workers
from deepsim_tf.distribute.errors import cluster_errors
from deepsim_tf.distribute.sharing import check_batch, share

__all__ = [
    "STRATEGIES",
    "check_batch",
    "choose",
    "cluster_errors",
    "find_cluster",
    "is_chief",
    "meet",
    "share",
    "workers",
]
