"""The measured side of `turns.py`.

A process that prepares one measurement, and then makes one call for each line it is sent.

Only the standard library, since the peers' virtual environment imports it too.
"""

import json
import resource
import sys
import time


def peak():
    """The largest resident memory of this process so far in GiB (ru_maxrss), everything included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def report(result):
    """One line that `turns.py` reads; whatever else is printed, it skips."""
    print("RESULT " + json.dumps(result), flush=True)


def serve(prepare):
    """Measure what the first argument, in JSON, describes.

    Args:
        prepare: function from that dict to (facts, call): what to report before the first call, and the function to
            time.
    """
    imported = peak()
    facts, call = prepare(json.loads(sys.argv[1]))
    report(facts)
    for line in sys.stdin:
        if line.strip() == "end":
            break
        started = time.perf_counter()
        call()
        report(time.perf_counter() - started)
    report({"peak": peak(), "imported": imported})
