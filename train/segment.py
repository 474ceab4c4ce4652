"""Train the supplementary task, whose frozen encoder becomes the similarity.

    python train/segment.py phc-u373 --data DIR --out runs/phc-u373/segmentation

Data: PhC-C2DH-U373 of the Cell Tracking Challenge, as unpacked (01, 02, 01_ST, 02_ST), or a synthetic set without data.
Time: preset cpu, about 5 minutes on two cores. Expect a validation Dice of about .93 over background and cells.
Writes: the run folder with config.json, model.keras, history.csv, events/ and checkpoints/. The same command continues
a killed run. The command `deepsim train-segmentation` does the same with more options.
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
recipe = recipes.segmentation(arguments.dataset, arguments.preset, data=arguments.data, epochs=arguments.epochs)
# Model, data, Keras's fit, and the run folder.
model = training.train_segmentation(recipe, arguments.out, strategy=arguments.strategy, devices=arguments.devices)
# What the extractor will be cut from: one map for each of these levels.
model.summary(print_fn=lambda line: print(line) if "enc_conv" in line else None)
