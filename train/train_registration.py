"""Train a registration network with MSE, NCC, DeepSim or another loss, and measure it on the validation pairs.

    python train/train_registration.py --dataset phc-u373 --data DIR --loss deepsim \
        --extractor runs/phc-u373/segmentation --out runs/phc-u373/deepsim

Data: as for train/train_segmentation.py, whose run folder is the extractor of the loss deepsim; mse and ncc need none.
Time: preset cpu, about 10 minutes on two cores. Expect a validation Dice of about .96 on PhC-U373 (README, table
"Results").
Writes: the run folder with config.json, model.keras, history.csv, events/, checkpoints/, and after the evaluation
pairs.csv, summary.csv, figures/ and report.html. The same command continues a killed run. It takes every option of the
command `deepsim train-registration`.
"""

from deepsim_tf import distribute, recipes, training
from deepsim_tf.cli import script
from deepsim_tf.evaluation import evaluate_runs


@script("train-registration", __doc__)
def main(dataset, preset, loss, out, place, verbose, **changes):
    """The five steps of the stage."""
    # 1. The recipe resolves the preset: loss and lambda, backbone, widths, batch, learning rate, steps, seed.
    recipe = recipes.registration(dataset, preset, loss, **changes)
    # 2. What will be minimised; the extractor of a DeepSim is loaded and frozen in the training.
    print(f"{recipes.LOSSES[loss].title} + {recipe.weight:g} * {recipes.REGULARIZERS[recipe.regularizer].title}")
    # 3. Model, data, Keras's fit, and the run folder, on the devices that `place` names.
    model = training.train_registration(recipe, out, **place, verbose=verbose)
    # 4. Of several workers, the one that wrote the run measures it.
    if not distribute.is_chief(model.distribute_strategy):
        return
    # 5. Dice, folds and smoothness of every validation pair, at the dataset's own resolution, with figures and report.
    evaluate_runs([out], split="val", verbose=verbose)


if __name__ == "__main__":
    main()
