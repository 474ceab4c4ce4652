"""Commands that train and measure."""

import click

from deepsim_tf import recipes, studies, training
from deepsim_tf.cli.options import CHANGES, DATA, DATASET, PRESET, READING, VERBOSE, reading, with_options


@click.command()
@click.option("--out", default="runs/demo", show_default=True, metavar="DIR", help="Folder for the runs, tables, figures and the report.")
@click.option("--reduced", is_flag=True, help="A few steps only: shows that everything works, not how well.")
@VERBOSE
def demo(out, reduced, verbose):
    """The whole pipeline on synthetic, noisy microscopy: extractor, MSE, NCC and DeepSim, unseen pairs."""
    studies.demo(out, reduced=reduced, verbose=verbose)


@click.command()
@DATASET
@DATA
@PRESET
@click.option("--out", metavar="RUN", help="Run folder.  [default: runs/DATASET/segmentation]")
@with_options(*CHANGES, *READING)
@VERBOSE
def train_segmentation(dataset, data, preset, out, verbose, **changes):
    """Train the supplementary task, whose encoder becomes the similarity."""
    options = reading(changes)
    recipe = recipes.segmentation(dataset, preset, data=data, options=options, **changes)
    out = out or f"runs/{dataset}/segmentation"
    training.train_segmentation(recipe, out, verbose=verbose)
    click.echo(f"Wrote {out}")


@click.command()
@DATASET
@DATA
@PRESET
@click.option("--out", metavar="RUN", help="Run folder.  [default: runs/DATASET/autoencoder]")
@with_options(*CHANGES, *READING)
@VERBOSE
def train_autoencoder(dataset, data, preset, out, verbose, **changes):
    """Train an autoencoder, whose encoder becomes a similarity that needs no labels."""
    options = reading(changes)
    recipe = recipes.autoencoder(dataset, preset, data=data, options=options, **changes)
    out = out or f"runs/{dataset}/autoencoder"
    training.train_autoencoder(recipe, out, verbose=verbose)
    click.echo(f"Wrote {out}")


@click.command()
@DATASET
@DATA
@click.option("--loss", required=True, help=f"One of: {', '.join(recipes.LOSSES)}.")
@click.option("--extractor", metavar="RUN", help="Run folder of train-segmentation or train-autoencoder, or a .keras file; weights for deepsim-vgg.")
@PRESET
@click.option("--weight", type=float, help="Of the regulariser, lambda; instead of the preset's.")
@click.option("--int-steps", type=int, help="0: displacement; 7: diffeomorphic.")
@click.option("--out", metavar="RUN", help="Run folder.  [default: runs/DATASET/LOSS]")
@with_options(*CHANGES, *READING)
@VERBOSE
def train_registration(dataset, data, loss, preset, out, verbose, **changes):
    """Train a registration network."""
    options = reading(changes)
    recipe = recipes.registration(dataset, preset, loss, data=data, options=options, **changes)
    out = out or f"runs/{dataset}/{loss}"
    training.train_registration(recipe, out, verbose=verbose)
    click.echo(f"Wrote {out}. Measure it with: deepsim evaluate {out}")


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--split", default="val", show_default=True, help="train, val or test.")
@click.option("--out", metavar="DIR", help="Where several runs are compared.  [default: the run's own folder]")
@click.option("--data", metavar="PATH", help="The dataset, where it has moved since the training.")
@VERBOSE
def evaluate(runs, split, out, data, verbose):
    """Measure one run, or compare several, on the pairs of a split, at the dataset's own resolution."""
    studies.evaluate_runs(runs, split=split, out=out, data=data, verbose=verbose)
