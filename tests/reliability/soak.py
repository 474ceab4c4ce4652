"""The long runs behind docs/reliability.md: 2000 damaged files, and 10 000 predictions of each kind in one process.

    python tests/reliability/soak.py [--cases 2000] [--predictions 10000] [--page docs/reliability.md]

About 10 minutes on two cores. Prints a report in Markdown, and with --page puts it between that page's marks. The exit
code is 1 where a case was not refused clearly or memory grew by more than 1 %. A case that ends the process itself is
left in the folder that is printed first.
"""

import argparse
import collections
import datetime
import faulthandler
import pathlib
import sys
import tempfile
import time
from unittest import mock

import deepsim_tf as ds  # isort: skip
import numpy as np
from damage import FUZZ, damaged
from hypothesis import given, settings
from hypothesis import strategies as st
from resources import growth, limited
from targets import KINDS, target, tiny_models

from deepsim_tf.files import versions

SHAPE = (16, 20)
LONGEST = 120  # seconds until a case counts as hung: the process then ends, with its traceback
MARKS = "<!-- soak -->", "<!-- end of soak -->"


def fuzz(cases, folder):
    """Judge about `cases` damaged files; yields (kind, Counter of outcomes, failures, seconds of the slowest)."""
    (folder / "models").mkdir()
    models = tiny_models(folder / "models")
    for name, share in KINDS.items():
        (folder / name).mkdir()
        found = target(name, folder / name, models)
        with limited(), mock.patch("deepsim_tf.recipes.datasets.SYNTHETIC_PAIRS", {"val": 1}):
            yield name, *_judge_many(found, max(1, round(share * cases / 2000)), folder)


def _judge_many(found, cases, folder):
    """(Counter of outcomes, failures as text, seconds of the slowest) of damage to a Target's file.

    Failing files are kept in `folder`.
    """
    outcomes, failures, seconds = collections.Counter(), [], [0.0]

    @settings(FUZZ, max_examples=cases)
    @given(st.data())
    def run(data):
        content = data.draw(damaged(found.name, found.content))
        faulthandler.dump_traceback_later(LONGEST, exit=True)
        started = time.perf_counter()
        try:
            outcomes["unchanged" if content == found.content else found.judge(content)] += 1
        except Exception as error:
            kept = folder / f"failed_{len(failures)}_{found.name}"
            kept.write_bytes(content)
            failures.append(f"{kept}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
            outcomes["failed"] += 1
        faulthandler.cancel_dump_traceback_later()
        seconds.append(time.perf_counter() - started)

    run()
    return outcomes, failures, max(seconds)


def predictions(count):
    """Yield (kind, what `growth` finds) of predictions in this process."""
    model = ds.models.registration_model(SHAPE, features=(2,))
    moving, fixed = np.random.default_rng(0).random((2, *SHAPE)).astype("float32")
    batch = {"moving": moving[None, ..., None], "fixed": fixed[None, ..., None]}
    yield "`model.predict_on_batch`", growth(lambda: model.predict_on_batch(batch), warm_up=300, count=count)
    yield "`ds.register`", growth(lambda: ds.register(model, moving, fixed), warm_up=300, count=count)


def main():
    """Run both, print the report; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--predictions", type=int, default=10_000)
    parser.add_argument("--page", type=pathlib.Path)
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="soak-"))
    print(f"Damaged files are tried in {folder}", flush=True)

    report = [f"{datetime.date.today()}; {', '.join(f'{name} {version}' for name, version in versions().items())}.", ""]
    # Memory first: the damaged files leave it in pieces.
    memory = [
        "| calls in one process | resident memory before (MB) | after (MB) | growth | ms a call |",
        "| --- | --- | --- | --- | --- |",
    ]
    grown = False
    for kind, found in predictions(options.predictions):
        grown |= found["growth"] > 0.01
        before, after = (f"{found[name] / 1e6:.1f}" for name in ("before", "after"))
        memory.append(
            f"| {options.predictions} x {kind} | {before} | {after} | {100 * found['growth']:+.2f} % |"
            f" {1000 * found['seconds']:.1f} |"
        )
        print(memory[-1], flush=True)

    table = [
        "| damaged file | cases | refused in one line | still valid | bytes unchanged | failed | slowest (s) |",
        "| --- " * 7 + "|",
    ]
    total, failed = collections.Counter(), []
    for name, outcomes, failures, slowest in fuzz(options.cases, folder):
        total += outcomes
        failed += failures
        numbers = [outcomes.total(), *(outcomes[key] for key in ("refused", "accepted", "unchanged", "failed"))]
        table.append(f"| {name} | {' | '.join(map(str, numbers))} | {slowest:.1f} |")
        print(table[-1], *failures, sep="\n", flush=True)
    table.append(
        f"| all | {total.total()} |"
        f" {' | '.join(str(total[key]) for key in ('refused', 'accepted', 'unchanged', 'failed'))} | |"
    )
    report += [*table, "", *memory]
    print("\n".join(report))
    if options.page:
        before, rest = options.page.read_text(encoding="utf-8").split(MARKS[0])
        after = rest.split(MARKS[1])[1]
        options.page.write_text("\n".join([before + MARKS[0], *report, MARKS[1] + after]), encoding="utf-8")
    return 1 if failed or grown else 0


if __name__ == "__main__":
    sys.exit(main())
