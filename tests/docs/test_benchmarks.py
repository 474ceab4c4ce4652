"""The harness behind `make bench`, at tiny shapes: its numbers mean nothing here."""

import os
import subprocess
import sys

from places import ROOT

TABLE = ROOT / "benchmarks" / "table.py"


def table(*arguments):
    """What `benchmarks/table.py` prints."""
    command = [sys.executable, str(TABLE), "--quick", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PEER_PYTHON"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)
    return [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")][1:]  # without the head


def test_the_warp_is_compared_with_voxelmorphs_in_processes_of_their_own():
    seconds, difference = table("--only", "warp", "--repeats", "1")
    assert "against VoxelMorph 0.2" in seconds[0] and seconds[3].endswith("x faster") and seconds[4] == "at least 2 x"
    assert float(difference[3]) < 1e-5


def test_without_pytorch_its_rows_say_how_to_get_it():
    rows = table("--only", "paper", "--only", "predict", "--peer-python", "/no/such/python")
    assert len(rows) == 4 and all("not measured" in row[3] and "make bench" in row[3] for row in rows)
