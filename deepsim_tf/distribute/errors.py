"""The end of another worker, in one sentence."""

import contextlib
import re

import tensorflow as tf

from deepsim_tf.distribute.cluster import workers

LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
    tf.errors.CancelledError,
    tf.errors.InternalError,
    tf.errors.FailedPreconditionError,
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
