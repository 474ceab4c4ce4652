"""Reproduce one table of the paper.

Extractors, all losses with a sweep of lambda, evaluation, statistics, figures, report.

    python train/reproduce.py phc-u373 --data DIR --out runs/u373

Data: as for train/segment.py.
Time: preset cpu, with all losses and three to five weights each, about a night on two cores; `--losses mse,ncc,deepsim
--factors 1` an hour.
Writes: segmentation/, autoencoder/ and LOSS/lambda_*/ (run folders), and the comparison: summary.csv, pairs.csv,
statistics.csv, sweep.csv, extractors.csv, noise.csv, figures/ and report.html. The same command continues where it was
killed. The command `deepsim reproduce` does the same with more options.
"""

import argparse

from deepsim_tf import recipes, studies

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("dataset", choices=recipes.DATASETS)
parser.add_argument("--data", help="folder of the dataset")
parser.add_argument("--preset", default="cpu", help="cpu, gpu or paper")
parser.add_argument("--losses", default=",".join(studies.PAPER), help="separated by commas")
parser.add_argument("--factors", default=",".join(map(str, studies.FACTORS)), help="of the preset's lambda")
parser.add_argument("--epochs", type=int, help="of every training, instead of the preset's")
parser.add_argument("--out", required=True, help="folder of the runs and of the comparison")
arguments = parser.parse_args()

factors = [float(factor) for factor in arguments.factors.split(",")]
changes = {
    "data": arguments.data,
    "epochs": arguments.epochs,
    "losses": arguments.losses.split(","),
    "factors": factors,
}
studies.reproduce(arguments.dataset, arguments.preset, out=arguments.out, **changes)
