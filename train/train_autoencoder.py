"""Train the unsupervised task, whose frozen encoder becomes a similarity that needs no labels (DeepSim_ae).

    python train/train_autoencoder.py --dataset phc-u373 --data DIR --out runs/phc-u373/autoencoder

Data: as for train/train_segmentation.py; labels are not used.
Time: preset cpu, about 5 minutes on two cores. Expect a validation loss (mean squared error) below .001.
Writes: the run folder with config.json, model.keras, history.csv, events/ and checkpoints/. The same command continues
a killed run. It takes every option of the command `deepsim train-autoencoder`.
"""

from deepsim_tf import distribute, recipes, training
from deepsim_tf.cli import script
from deepsim_tf.models import FeatureExtractor
from deepsim_tf.training import runs


@script("train-autoencoder", __doc__)
def main(dataset, preset, out, place, verbose, **changes):
    """The five steps of the stage."""
    # 1. The recipe resolves the preset: backbone, widths, batch, learning rate, steps, augmentation, seed.
    recipe = recipes.autoencoder(dataset, preset, **changes)
    # 2. Model, data, Keras's fit, and the run folder, on the devices that `place` names.
    model = training.train_autoencoder(recipe, out, **place, verbose=verbose)
    # 3. Of several workers, the one that wrote the run goes on.
    if not distribute.is_chief(model.distribute_strategy):
        return
    # 4. How well it gives images back that it was not trained on, from the last line of history.csv.
    print(f"Validation loss, a mean squared error: {runs.read_history(out)['val_loss'].iloc[-1]:.3g}")
    # 5. What the similarity will compare: one map of features for each level of the encoder.
    extractor = FeatureExtractor.from_model(out)
    print(f"Wrote {out}; its encoder has {', '.join(extractor.levels)}")


if __name__ == "__main__":
    main()
