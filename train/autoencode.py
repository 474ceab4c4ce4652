"""Train the unsupervised task, whose frozen encoder becomes a similarity that needs no labels (DeepSim_ae).

    python train/autoencode.py phc-u373 --data DIR --out runs/phc-u373/autoencoder

Data: as for train/segment.py; labels are not used.
Time: preset cpu, about 5 minutes on two cores.
Writes: the run folder with config.json, model.keras, history.csv, events/ and checkpoints/. The same command continues
a killed run. The command `deepsim train-autoencoder` does the same with more options.
"""

import argparse

from deepsim_tf import recipes, training

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("dataset", choices=recipes.DATASETS)
parser.add_argument("--data", help="folder of the dataset")
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

# The recipe resolves the preset: backbone, widths, batch, learning rate, steps, augmentation, seed.
recipe = recipes.autoencoder(arguments.dataset, arguments.preset, data=arguments.data, epochs=arguments.epochs)
# The model reproduces its images; how well is the validation loss, a mean squared error.
training.train_autoencoder(recipe, arguments.out, strategy=arguments.strategy, devices=arguments.devices)
