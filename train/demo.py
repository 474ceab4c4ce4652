"""The whole pipeline on synthetic, noisy microscopy; `make demo` runs it.

    python train/demo.py --out runs/demo

Data: none; pairs of slices are generated, with different noise, contrast and unmatched structures in the two images of
a pair.
Time: about 6 minutes on two cores. Expect a test Dice of .70 before and above .80 after registration.
Writes: runs/demo/ with a run folder each for segmentation, mse, ncc and deepsim, and their comparison: pairs.csv,
summary.csv, figures/ (convergence, Dice box plots, example pairs) and report.html. The same command continues a killed
run. It takes every option of the command `deepsim demo`.
"""

from deepsim_tf import studies
from deepsim_tf.cli import script


@script("demo", __doc__)
def main(out, reduced, verbose):
    """One call; `deepsim_tf.studies.demo` names the steps."""
    studies.demo(out, reduced=reduced, verbose=verbose)


if __name__ == "__main__":
    main()
