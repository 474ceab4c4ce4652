"""Compare finished registration runs on one split: tables, figures and report.

    python train/evaluate.py runs/phc-u373/mse runs/phc-u373/ncc runs/phc-u373/deepsim --out runs/phc-u373/comparison

Time: a minute for the 49 validation pairs of PhC-U373 and three runs on two cores.
Writes: pairs.csv (a row a pair and method), summary.csv (identity first), figures/ and report.html.
The command `deepsim evaluate` does the same.
"""

import argparse

from deepsim_tf.evaluation import evaluate_runs

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("runs", nargs="+", help="run folders of train/register.py")
parser.add_argument("--split", default="val", help="train, val or test")
parser.add_argument("--out", help="folder for the comparison; a single run's own folder by default")
arguments = parser.parse_args()

evaluate_runs(arguments.runs, split=arguments.split, out=arguments.out)
