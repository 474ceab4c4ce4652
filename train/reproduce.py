"""Reproduce one table of the paper.

Extractors, all losses with a sweep of lambda, evaluation, statistics, figures, report.

    python train/reproduce.py --dataset phc-u373 --data DIR --out runs/u373

Data: as for train/train_segmentation.py.
Time: preset cpu, with all losses and three to five weights each, about a night on two cores; `--losses mse,ncc,deepsim
--factors 1` an hour. Expect the numbers of docs/results.md; train/results.py sets them beside the paper's.
Writes: segmentation/, autoencoder/ and LOSS/lambda_*/ (run folders), and the comparison: summary.csv, pairs.csv,
statistics.csv, sweep.csv, extractors.csv, noise.csv, figures/ and report.html. The same command continues where it was
killed. It takes every option of the command `deepsim reproduce`.
"""

from deepsim_tf import studies
from deepsim_tf.cli import script


@script("reproduce", __doc__)
def main(dataset, preset, out, **arguments):
    """One call; `deepsim_tf.studies.reproduce` names the steps."""
    studies.reproduce(dataset, preset, out=out, **arguments)
    print(f"Beside the paper's numbers: python train/results.py {out} --out {out}/results")


if __name__ == "__main__":
    main()
