"""The table of `make bench`: this package against PyTorch, and against VoxelMorph of both kinds, as ratios in one run.

    make bench                                                # PyTorch's environment is made first; about 15 minutes on
    two cores python benchmarks/table.py --peer-python .venv/peers/bin/python python benchmarks/table.py --only warp
    --only size        # without PyTorch python benchmarks/table.py --quick                        # tiny shapes: tests
    the commands, its numbers mean nothing

Every measurement is a process of its own (`turns.py`). Processes of one comparison make their calls in turns, A-B-A-B;
seconds are medians after two calls to warm up. Peak memory is the process's ru_maxrss, from which nothing is
subtracted; a second figure leaves out what the imports hold. Before PyTorch's network is timed, it gets the package's
weights and must give the same flow and loss. Prints a Markdown table; benchmarks/README.md keeps it.
"""

import argparse
import datetime
import os
import platform
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from turns import Failed, in_turns

GET_PEER = (
    "not measured: PyTorch is not here. `make bench` gets it, or name a Python that has"
    " benchmarks/peers/requirements.txt: --peer-python"
)
PAPER = {"backbone": "paper", "features": (64, 128, 256), "int_steps": 0}
VOXELMORPH = {"backbone": "voxelmorph", "features": (16, 32, 32, 32), "int_steps": 7}


class Table:
    """The rows, printed as they are measured, with what every comparison needs."""

    def __init__(self, *, quick, repeats, peer_python, folder):
        self.quick, self.repeats, self.peer_python, self.folder = quick, repeats, peer_python, folder
        self.versions = set()

    def head(self):
        """Print the head of the table."""
        print(
            "| measured | this package | the other | figure | target | reached |\n|---|---|---|---|---|---|", flush=True
        )

    def row(self, what, ours, other, figure, target, reached):
        """Print one row; `reached` may be None."""
        answer = {None: "", True: "yes", False: "no"}[None if self.quick else reached]
        print(f"| {what} | {ours} | {other} | {figure} | {target} | {answer} |", flush=True)

    def faster(self, what, ours, other, least):
        """A row of seconds: how many times faster the package is."""
        ratio = other.seconds / ours.seconds
        self.row(
            what,
            f"{ours.seconds:.3f} s",
            f"{other.seconds:.3f} s",
            f"{ratio:.2f} x faster",
            f"at least {least} x",
            ratio >= least,
        )

    def slower(self, what, ours, other, most):
        """A row of seconds: what something costs over something cheaper, both of the package."""
        ratio = ours.seconds / other.seconds
        self.row(
            what,
            f"{ours.seconds:.3f} s",
            f"{other.seconds:.3f} s",
            f"{ratio:.2f} x",
            f"at most {most} x",
            ratio <= most,
        )

    def memory(self, what, ours, other, most):
        """A row of peak memory, and of what came after the imports.

        TensorFlow's libraries alone hold 0.65 GiB, PyTorch's 0.2.
        """
        ratio, grown = ours.peak / other.peak, (ours.peak - ours.imported) / (other.peak - other.imported)
        figure = f"{ratio:.2f} x ({grown:.2f} x without what the imports hold)"
        self.row(what, f"{ours.peak:.2f} GiB", f"{other.peak:.2f} GiB", figure, f"at most {most} x", ratio <= most)

    def shape(self, *full):
        """The shape of a measurement: that one, or a tiny one under --quick."""
        return tuple(32 if n > 160 else 16 for n in full) if self.quick else full

    def measure(self, what, cases):
        """`in_turns` of the cases, with the widths of --quick.

        None after a row that says why it failed or was left out.
        """
        if any("peer" in case for case in cases.values()) and not self.peer_python:
            self.row(what, "", "", GET_PEER, "", None)
            return None
        if self.quick:
            cases = {
                name: {**case, **({"features": (4, 4, 8)} if "features" in case else {})}
                for name, case in cases.items()
            }
        try:
            measured = in_turns(
                cases, repeats=self.repeats, peer_python=self.peer_python, warm_up=1 if self.quick else 2
            )
        except Failed as error:
            self.row(what, "", "", f"failed: {error}", "", False)
            return None
        self.versions |= {m.facts["versions"] for m in measured.values()}
        return measured

    def file(self, name):
        """Path of a file by which processes exchange arrays."""
        return str(self.folder / name)


def sized(shape):
    """As in 64 x 64, or 64^3."""
    return f"{shape[0]}^3" if len(shape) == 3 and len(set(shape)) == 1 else " x ".join(map(str, shape))


def paper(table):
    """A training step of the paper's network in 2-D against the same in plain PyTorch."""
    shape = table.shape(256, 256)
    for loss in ("MSE", "NCC", "DeepSim"):
        what = f"step, `paper` 2-D {sized(shape)}, {loss}, against the same in PyTorch"
        case = {"task": "step", "shape": shape, **PAPER, "loss": loss, "weights": table.file(f"paper {loss}.npz")}
        found = table.measure(what, {"package": case, "PyTorch": {**case, "peer": "paper", "like": "package"}})
        if found:
            table.faster(what, found["package"], found["PyTorch"], 1.2)
            table.memory("its peak memory", found["package"], found["PyTorch"], 1.3)


def pairwise(table, case, name, least, memory):
    """A case of the package against VoxelMorph PyTorch 0.3.4, equal and as shipped."""
    case = {**case, **VOXELMORPH, "loss": "MSE", "weights": table.file("pairwise.npz")}
    shipped = {**case, "peer": "shipped"}
    del shipped["weights"]  # another network
    found = table.measure(
        name, {"package": case, "equal": {**case, "peer": "equal", "like": "package"}, "shipped": shipped}
    )
    for peer, what in (
        ("equal", "of the same layers and integration"),
        ("shipped", "as it is shipped (two convolutions at full size less)"),
    ):
        if found:
            table.faster(f"{name}, against VoxelMorph PyTorch 0.3.4 {what}", found["package"], found[peer], least)
            if memory:
                table.memory("its peak memory", found["package"], found[peer], memory)


def voxelmorph(table):
    """A training step in 3-D against VoxelMorph PyTorch."""
    shape = table.shape(96, 96, 96)
    pairwise(
        table, {"task": "step", "shape": shape}, f"step, VoxelMorph 3-D {sized(shape)}, int_steps 7, MSE", 1.2, None
    )


def predict(table):
    """One registration against VoxelMorph PyTorch."""
    shape = table.shape(160, 192, 160)
    pairwise(
        table, {"task": "predict", "shape": shape}, f"registration, VoxelMorph 3-D {sized(shape)}, int_steps 7", 1.5, 1
    )


def losses(table):
    """What the losses cost over MSE."""
    shape = table.shape(96, 96, 96)
    names = {"DeepSim": 1.35, "DeepSim, atlas": 1.2, "NCC": 1.1}
    title = f"step over an MSE step, VoxelMorph 3-D {sized(shape)}, int_steps 7"
    case = {"task": "step", "shape": shape, **VOXELMORPH}
    found = table.measure(f"{title}: {', '.join(names)}", {loss: {**case, "loss": loss} for loss in ("MSE", *names)})
    for loss, most in names.items() if found else ():
        table.slower(f"{'LocalNCC' if loss == 'NCC' else loss}: {title}", found[loss], found["MSE"], most)


def size(table):
    """What a training step costs a voxel, from small to large."""
    shapes = [(n,) * 3 for n in ((16, 24) if table.quick else (48, 64, 96, 128))]
    names = [sized(shape) for shape in shapes]
    what = f"step, VoxelMorph 3-D, int_steps 7, MSE, {', '.join(names)}"
    found = table.measure(
        what, {name: {"task": "step", "shape": s, **VOXELMORPH, "loss": "MSE"} for name, s in zip(names, shapes)}
    )
    if not found:
        return
    for quantity, unit, values in (
        ("microseconds a voxel", "", [1e6 * m.seconds for m in found.values()]),
        ("KiB of peak memory a voxel", "", [2**20 * m.peak for m in found.values()]),
        (
            "KiB a voxel without what the imports hold",
            " (no target)",
            [2**20 * (m.peak - m.imported) for m in found.values()],
        ),
    ):
        each = [value / np.prod(shape) for value, shape in zip(values, shapes)]
        growth = 100 * (max(value / each[0] for value in each[1:]) - 1)
        reached = growth <= 15 if not unit else None
        table.row(
            f"{what}: {quantity}",
            ", ".join(f"{v:.2f}" for v in each),
            "",
            f"{growth:+.0f} % over {names[0]}",
            f"at most +15 %{unit}",
            reached,
        )


def layers(table, task, full):
    """A layer of the flow, with a batch of 4, against VoxelMorph 0.2's, which maps over the batch."""
    shape = table.shape(*full)
    for gradient in (False,) if table.quick else (False, True):
        what = f"{task} {sized(shape)}, batch 4, {'with gradients' if gradient else 'forward'}"
        case = {"task": task, "shape": shape, "batch": 4, "gradient": gradient}
        sides = {
            side: {**case, "of": side, "output": table.file(f"{side}.npy")} for side in ("package", "VoxelMorph 0.2")
        }
        found = table.measure(what, sides)
        if found:
            table.faster(f"{what}, against VoxelMorph 0.2 (TensorFlow)", *(found[side] for side in sides), 2)
        if found and not gradient:
            apart = float(np.abs(np.subtract(*(np.load(side["output"]) for side in sides.values()))).max())
            table.row("its largest difference in the values", "", "", f"{apart:.1e}", "at most 1e-5", apart <= 1e-5)


def warp(table):
    """SpatialTransformer, linear."""
    layers(table, "warp", (96, 96, 96))


def integrate(table):
    """VecInt, 7 steps, at the size at which a network for 96^3 integrates."""
    layers(table, "integrate", (48, 48, 48))


COMPARISONS = {f.__name__: f for f in (paper, voxelmorph, losses, predict, size, warp, integrate)}


def machine():
    """Processor, cores, memory and load."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        model = next(
            (
                line.split(":", 1)[1].strip()
                for line in cpuinfo.read_text().splitlines()
                if line.startswith("model name")
            ),
            model,
        )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{len(os.sched_getaffinity(0))} cores of {model}, {memory:.0f} GiB, load {os.getloadavg()[0]:.1f} at the start"
    )


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=COMPARISONS, help="one comparison; may be given again")
    parser.add_argument("--quick", action="store_true", help="tiny shapes, two calls")
    parser.add_argument("--repeats", type=int, help="calls that count (default 5)")
    parser.add_argument(
        "--peer-python",
        default=os.environ.get("PEER_PYTHON"),
        help="Python with PyTorch, VoxelMorph 0.3.4 (default: $PEER_PYTHON)",
    )
    arguments = parser.parse_args()
    peer, started, where = shutil.which(arguments.peer_python or ""), time.perf_counter(), machine()
    repeats = arguments.repeats or (2 if arguments.quick else 5)
    with tempfile.TemporaryDirectory() as folder:
        table = Table(quick=arguments.quick, repeats=repeats, peer_python=peer, folder=Path(folder))
        table.head()
        for name in arguments.only or COMPARISONS:
            COMPARISONS[name](table)
    when, minutes = datetime.date.today().isoformat(), (time.perf_counter() - started) / 60
    print(
        f"\n{when}, {where}. {'; '.join(sorted(table.versions))}. Medians of {repeats} calls. {minutes:.0f} minutes in"
        " all."
    )
    if arguments.quick:
        print("--quick: the numbers mean nothing.")


if __name__ == "__main__":
    main()
