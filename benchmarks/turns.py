"""Processes that are measured in turns, A-B-A-B, so that whatever else the machine does slows all of them alike."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
WARM_UP = 2  # calls of each process that are not counted


class Failed(Exception):
    """A process ended before it was asked to."""


@dataclass
class Measured:
    """What one process reported.

    Median seconds of a call, peak memory in GiB, that after its imports, and its facts.
    """

    seconds: float
    peak: float
    imported: float
    facts: dict


class Worker:
    """One process of `package_side.py`, or of `peers/torch_side.py` under the peers' Python."""

    def __init__(self, case, *, peer_python=None):
        # The package of this very tree; PyTorch's process must see nothing of it, since both environments have a
        # "voxelmorph".
        environment = {
            **os.environ,
            "PYTHONPATH": "" if peer_python else os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")]),
        }
        script = HERE / ("peers/torch_side.py" if peer_python else "package_side.py")
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [peer_python or sys.executable, str(script), json.dumps(case)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=environment,
        )
        self.seconds = []

    def result(self):
        """The next thing that it reports."""
        for line in self.process.stdout:
            if line.startswith("RESULT "):
                return json.loads(line[7:])
        self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        raise Failed(
            lines[-1]
            if lines
            else f"ended with code {self.process.returncode} (negative: killed, as for want of memory)"
        )

    def ask(self, line):
        """Send a line, and wait for the answer."""
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # `result` says why
        return self.result()

    def close(self):
        """End the process, whatever it does."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            try:
                stream.close()
            except BrokenPipeError:
                pass


def in_turns(cases, *, repeats, peer_python=None, warm_up=WARM_UP):
    """Measure processes in turns.

    Args:
        cases: {name: dict that describes the measurement}; one with "peer" in it runs under `peer_python`. One with
            "like", a name, starts later than the others, and is given what that one reported as "parameters" and
            "check".
        repeats: calls of each that count, after `warm_up`.

    Returns:
        {name: Measured}.

    Raises:
        Failed: a process ended early, with the last line of what it wrote.
    """
    workers, facts = {}, {}
    try:
        for later in (False, True):
            wave = {name: case for name, case in cases.items() if ("like" in case) == later}
            for name, case in wave.items():
                same = {key: facts[case["like"]][key] for key in ("parameters", "check")} if later else {}
                workers[name] = Worker({**case, **same}, peer_python=peer_python if "peer" in case else None)
            for name in wave:
                facts[name] = workers[name].result()
        for turn in range(warm_up + repeats):
            for name in cases:
                seconds = (worker := workers[name]).ask("go")
                time.sleep(
                    0.02
                )  # threads that wait actively for more work go to sleep, and leave the cores to the next process
                if turn >= warm_up:
                    worker.seconds.append(seconds)
        return {
            name: Measured(statistics.median(workers[name].seconds), **workers[name].ask("end"), facts=facts[name])
            for name in cases
        }
    except Failed as error:
        raise Failed(f"{name}: {error}") from None
    finally:
        for worker in workers.values():
            worker.close()
