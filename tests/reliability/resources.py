"""What a process holds: its memory, measured and limited. Linux."""

import contextlib
import gc
import os
import resource
import time

PAGE = os.sysconf("SC_PAGE_SIZE")


def memory():
    """(virtual, resident) bytes of this process."""
    with open("/proc/self/statm") as file:
        return tuple(PAGE * int(number) for number in file.read().split()[:2])


@contextlib.contextmanager
def limited(extra=3 * 2**30):
    """Let the process take at most `extra` bytes more.

    A file that asks for more then ends in a MemoryError instead of a full machine.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (memory()[0] + extra, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def growth(call, *, warm_up, count):
    """Call a function many times.

    Returns:
        dict: resident bytes `before` (after the warm-up) and `after`, `growth` as a fraction of `before`, and `seconds`
            a call.
    """
    for _ in range(warm_up):
        call()
    gc.collect()
    before, started = memory()[1], time.perf_counter()
    for _ in range(count):
        call()
    seconds = (time.perf_counter() - started) / count
    gc.collect()
    after = memory()[1]
    return {"before": before, "after": after, "growth": after / before - 1, "seconds": seconds}
