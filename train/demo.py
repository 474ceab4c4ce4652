"""The whole pipeline on synthetic, noisy microscopy; `make demo` runs it.

    python train/demo.py --out runs/demo

Data: none; pairs of slices are generated, with different noise, contrast and unmatched structures in the two images of
a pair.
Time: about 6 minutes on two cores. Expect a test Dice of .70 before and above .80 after registration.
Writes: runs/demo/ with a run folder each for segmentation, mse, ncc and deepsim, and their comparison: pairs.csv,
summary.csv, figures/ (convergence, Dice box plots, example pairs) and report.html. The same command continues a killed
run.
"""

import argparse

from deepsim_tf import studies

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--out", default="runs/demo", help="folder for the runs and their comparison")
parser.add_argument(
    "--reduced", action="store_true", help="a few steps only: shows that everything works, not how well"
)
arguments = parser.parse_args()

studies.demo(arguments.out, reduced=arguments.reduced)
