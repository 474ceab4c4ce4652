"""Commands that train and measure."""

import click

from deepsim_tf import recipes, studies, training
from deepsim_tf.cli.command import Command, Names, Numbers
from deepsim_tf.cli.options import (
    DATA,
    GOAL,
    LOSS,
    PLACE,
    TRAINING,
    VERBOSE,
    WEIGHTS,
    one_of,
    out,
    refine,
    with_options,
)
from deepsim_tf.data.pairing import SPLITS
from deepsim_tf.evaluation import evaluate_runs
from deepsim_tf.evaluation.noise import SIGMAS


def _listed(title, table):
    """A paragraph of help with a line for each entry of a table."""
    width = max(map(len, table))
    return "\n".join(["\b", title, *(f"  {name:{width}}  {about}" for name, about in table.items())])


def _takes(entry):
    """What a loss is, and its options as the command line writes them."""
    return "; ".join([entry.about, *(f"{name}={value}".lower() for name, value in entry.defaults().items())])


DATASETS = _listed("Data sets:", {name: entry.about for name, entry in recipes.DATASETS.items()})
LOSSES = _listed("Losses, with their --loss-option:", {name: _takes(entry) for name, entry in recipes.LOSSES.items()})
LOSS_OPTIONS = _listed(
    "Options of losses:",
    {name: option.about for entry in recipes.LOSSES.values() for name, option in entry.options.items()},
)
ALL = "\n\n".join([DATASETS, LOSSES, LOSS_OPTIONS])


@click.command(cls=Command)
@click.option(
    "--out",
    default="runs/demo",
    show_default=True,
    metavar="DIR",
    help="Folder for the runs, tables, figures and the report.",
)
@click.option("--reduced", is_flag=True, help="A few steps only: shows that everything works, not how well.")
@with_options(VERBOSE)
def demo(out, reduced, verbose):
    """The whole pipeline on synthetic, noisy microscopy: extractor, MSE, NCC and DeepSim, unseen pairs."""
    studies.demo(out, reduced=reduced, verbose=verbose)


@click.command(cls=Command, epilog=DATASETS)
@with_options(*DATA, out("runs/{dataset}/segmentation"), *TRAINING, *PLACE, VERBOSE)
def train_segmentation(dataset, preset, out, place, verbose, **changes):
    """Train the supplementary task, whose encoder becomes the similarity."""
    training.train_segmentation(recipes.segmentation(dataset, preset, **changes), out, **place, verbose=verbose)
    click.echo(f"Wrote {out}")


@click.command(cls=Command, epilog=DATASETS)
@with_options(*DATA, out("runs/{dataset}/autoencoder"), *TRAINING, *PLACE, VERBOSE)
def train_autoencoder(dataset, preset, out, place, verbose, **changes):
    """Train an autoencoder, whose encoder becomes a similarity that needs no labels."""
    training.train_autoencoder(recipes.autoencoder(dataset, preset, **changes), out, **place, verbose=verbose)
    click.echo(f"Wrote {out}")


@click.command(cls=Command, epilog=ALL)
@with_options(*DATA, *LOSS, *GOAL)
@click.option("--weight", type=float, help="Of the regulariser, lambda; instead of the preset's.")
@with_options(out("runs/{dataset}/{loss}"), *TRAINING, *PLACE, VERBOSE)
def train_registration(dataset, preset, loss, out, place, verbose, **changes):
    """Train a registration network."""
    recipe = recipes.registration(dataset, preset, loss, **changes)
    training.train_registration(recipe, out, **place, verbose=verbose)
    click.echo(f"Wrote {out}. Measure it with: deepsim evaluate {out}")


@click.command(cls=Command, epilog=ALL)
@with_options(*DATA, *LOSS, *GOAL, *WEIGHTS)
@with_options(out("runs/{dataset}/{loss}-sweep", "Folder of the runs and of sweep.csv."), *TRAINING, VERBOSE)
def sweep(dataset, preset, loss, out, **arguments):
    """Train a loss with several weights of the regulariser, and measure them on the validation pairs."""
    table = studies.sweep(dataset, preset, loss, out, **arguments)
    click.echo(table.drop(columns="run").to_string(index=False))


@click.command(cls=Command, epilog=ALL)
@with_options(*DATA)
@click.option("--losses", type=Names(), default=",".join(studies.PAPER), show_default=True, help="Separated by commas.")
@with_options(*GOAL, *WEIGHTS)
@click.option("--extractor-epochs", type=int, help="Of the extractors, where --epochs is for the registrations alone.")
@click.option(
    "--noise",
    type=Numbers("0.1,0.35"),
    default=",".join(map(str, SIGMAS)),
    show_default=True,
    help='Sigmas of the noise study; "" for none.',
)
@click.option(
    "--split",
    default="val",
    show_default=True,
    help=f"Of the final comparison; weights are chosen on val. {one_of(SPLITS)}",
)
@with_options(out("runs/{dataset}-{preset}", "Folder of the runs and of the comparison."), *TRAINING, VERBOSE)
def reproduce(dataset, preset, out, **arguments):
    """Everything behind a table of the paper.

    Extractors, all losses with their lambda, evaluation, statistics, figures, report.

    What is finished is kept: a killed reproduction continues with the same command.
    """
    studies.reproduce(dataset, preset, out=out, **arguments)


@click.command(cls=Command)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--split", default="val", show_default=True, help=one_of(SPLITS))
@click.option("--out", metavar="DIR", help="Where several runs are compared.  [default: the run's own folder]")
@click.option("--data", metavar="PATH", help="The dataset, where it has moved since the training.")
@with_options(refine("on each pair, as a method of its own"), VERBOSE)
def evaluate(runs, **arguments):
    """Measure one run, or compare several, on the pairs of a split, at the dataset's own resolution."""
    evaluate_runs(runs, **arguments)
