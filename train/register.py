"""Train a registration network with MSE, NCC or DeepSim, and measure it on the validation pairs.

    python train/register.py phc-u373 --data DIR --loss deepsim --extractor runs/phc-u373/segmentation --out
    runs/phc-u373/deepsim

Data: as for train/segment.py, whose run folder is the extractor of the loss deepsim; mse and ncc need none.
Time: preset cpu, about 10 minutes on two cores. Expect a validation Dice of about .96 on PhC-U373 (README, table
"Results").
Writes: the run folder with config.json, model.keras, history.csv, events/, checkpoints/, and after the evaluation
pairs.csv, summary.csv, figures/ and report.html. The same command continues a killed run. The command `deepsim
train-registration` does the same with more options.
"""

import argparse

from deepsim_tf import distribute, recipes, training
from deepsim_tf.evaluation import evaluate_runs

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("dataset", choices=recipes.DATASETS)
parser.add_argument("--data", help="folder of the dataset")
parser.add_argument("--loss", required=True, choices=recipes.LOSSES)
parser.add_argument("--extractor", help="run folder of train/segment.py")
parser.add_argument("--preset", default="cpu", help="cpu or paper")
parser.add_argument("--epochs", type=int, help="instead of the preset's")
parser.add_argument(
    "--devices",
    type=int,
    help="GPUs (or logical CPUs) of this machine that share a batch; several machines: set TF_CONFIG on each",
)
parser.add_argument("--strategy", help="one, mirrored or multi-worker; by default what --devices and TF_CONFIG say")
parser.add_argument("--out", required=True, help="run folder")
arguments = parser.parse_args()

# The recipe resolves the preset: loss and lambda, backbone, widths, batch, learning rate, steps, augmentation, seed.
changes = {"data": arguments.data, "extractor": arguments.extractor, "epochs": arguments.epochs}
recipe = recipes.registration(arguments.dataset, arguments.preset, arguments.loss, **changes)
# Model, data, Keras's fit, and the run folder.
model = training.train_registration(recipe, arguments.out, strategy=arguments.strategy, devices=arguments.devices)
# Dice, folds and smoothness of every validation pair, at the dataset's own resolution, with figures and report.
# Of several workers, the one that wrote the run measures it.
if distribute.is_chief(model.distribute_strategy):
    evaluate_runs([arguments.out], split="val")
