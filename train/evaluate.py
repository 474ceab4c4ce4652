"""Compare finished registration runs on one split: tables, figures and report.

    python train/evaluate.py runs/phc-u373/mse runs/phc-u373/ncc runs/phc-u373/deepsim --out runs/phc-u373/comparison

Data: the runs' own; --data names it where it has moved.
Time: a minute for the 49 validation pairs of PhC-U373 and three runs on two cores. Expect Dice of .95 to .97 there.
Writes: pairs.csv (a row a pair and method), summary.csv (identity first), statistics.csv, figures/ and report.html. It
takes every option of the command `deepsim evaluate`.
"""

from deepsim_tf.cli import script
from deepsim_tf.evaluation import evaluate_runs


@script("evaluate", __doc__)
def main(runs, split, out, data, refine, verbose):
    """One call: every pair is measured, methods are compared, and the means are printed."""
    summary = evaluate_runs(runs, split=split, out=out, data=data, refine=refine, verbose=verbose)
    if summary["dice"].notna().any():  # there are labels
        print(f"Highest Dice: {summary.loc[summary['dice'].idxmax(), 'method']}")


if __name__ == "__main__":
    main()
