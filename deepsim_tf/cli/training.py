"""Commands that train and measure."""

import click

from deepsim_tf import recipes, studies, training
from deepsim_tf.cli.options import CHANGES, DATA, DATASET, PLACE, PRESET, READING, VERBOSE, reading, with_options
from deepsim_tf.evaluation import evaluate_runs
from deepsim_tf.evaluation.noise import SIGMAS


@click.command()
@click.option(
    "--out",
    default="runs/demo",
    show_default=True,
    metavar="DIR",
    help="Folder for the runs, tables, figures and the report.",
)
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
@with_options(*CHANGES, *PLACE, *READING)
@VERBOSE
def train_segmentation(dataset, data, preset, out, strategy, devices, max_skipped, verbose, **changes):
    """Train the supplementary task, whose encoder becomes the similarity."""
    options = reading(changes)
    recipe = recipes.segmentation(dataset, preset, data=data, options=options, **changes)
    out = out or f"runs/{dataset}/segmentation"
    training.train_segmentation(
        recipe, out, strategy=strategy, devices=devices, max_skipped=max_skipped, verbose=verbose
    )
    click.echo(f"Wrote {out}")


@click.command()
@DATASET
@DATA
@PRESET
@click.option("--out", metavar="RUN", help="Run folder.  [default: runs/DATASET/autoencoder]")
@with_options(*CHANGES, *PLACE, *READING)
@VERBOSE
def train_autoencoder(dataset, data, preset, out, strategy, devices, max_skipped, verbose, **changes):
    """Train an autoencoder, whose encoder becomes a similarity that needs no labels."""
    options = reading(changes)
    recipe = recipes.autoencoder(dataset, preset, data=data, options=options, **changes)
    out = out or f"runs/{dataset}/autoencoder"
    training.train_autoencoder(
        recipe, out, strategy=strategy, devices=devices, max_skipped=max_skipped, verbose=verbose
    )
    click.echo(f"Wrote {out}")


@click.command()
@DATASET
@DATA
@click.option("--loss", required=True, help=f"One of: {', '.join(recipes.LOSSES)}.")
@click.option(
    "--extractor",
    metavar="RUN",
    help="Run folder of train-segmentation or train-autoencoder, or a .keras file; weights for deepsim-vgg.",
)
@PRESET
@click.option("--weight", type=float, help="Of the regulariser, lambda; instead of the preset's.")
@click.option("--int-steps", type=int, help="0: displacement; 7: diffeomorphic.")
@click.option("--out", metavar="RUN", help="Run folder.  [default: runs/DATASET/LOSS]")
@with_options(*CHANGES, *PLACE, *READING)
@VERBOSE
def train_registration(dataset, data, loss, preset, out, strategy, devices, max_skipped, verbose, **changes):
    """Train a registration network."""
    options = reading(changes)
    recipe = recipes.registration(dataset, preset, loss, data=data, options=options, **changes)
    out = out or f"runs/{dataset}/{loss}"
    training.train_registration(
        recipe, out, strategy=strategy, devices=devices, max_skipped=max_skipped, verbose=verbose
    )
    click.echo(f"Wrote {out}. Measure it with: deepsim evaluate {out}")


FACTORS = click.option(
    "--factors",
    default=",".join(map(str, studies.FACTORS)),
    show_default=True,
    help="Of the preset's lambda, for the sweep on validation pairs.",
)


EXTENSIONS = click.option(
    "--extensions",
    type=click.IntRange(min=0),
    default=studies.EXTENSIONS,
    show_default=True,
    help="Weights tried beyond the ends of the sweep while the best is at an end.",
)


@click.command()
@DATASET
@DATA
@click.option("--loss", required=True, help=f"One of: {', '.join(recipes.LOSSES)}.")
@click.option("--extractor", metavar="RUN", help="As in train-registration.")
@PRESET
@FACTORS
@EXTENSIONS
@click.option("--out", metavar="DIR", help="Folder of the runs and of sweep.csv.  [default: runs/DATASET/LOSS-sweep]")
@with_options(*CHANGES, *READING)
@VERBOSE
def sweep(dataset, data, loss, preset, factors, extensions, out, verbose, **changes):
    """Train a loss with several weights of the regulariser, and measure them on the validation pairs."""
    options = reading(changes)
    out = out or f"runs/{dataset}/{loss}-sweep"
    weights = {"factors": _numbers("factors", factors), "extensions": extensions}
    table = studies.sweep(dataset, preset, loss, out, **weights, verbose=verbose, data=data, options=options, **changes)
    click.echo(table.drop(columns="run").to_string(index=False))


@click.command()
@DATASET
@DATA
@PRESET
@click.option("--losses", default=",".join(studies.PAPER), show_default=True, help="Separated by commas.")
@FACTORS
@EXTENSIONS
@click.option("--extractor-epochs", type=int, help="Of the extractors, where --epochs is for the registrations alone.")
@click.option(
    "--noise", default=",".join(map(str, SIGMAS)), show_default=True, help='Sigmas of the noise study; "" for none.'
)
@click.option("--split", default="val", show_default=True, help="Of the final comparison; weights are chosen on val.")
@click.option("--out", metavar="DIR", help="Folder of the runs and of the comparison.  [default: runs/DATASET-PRESET]")
@with_options(*CHANGES, *READING)
@VERBOSE
def reproduce(dataset, data, preset, losses, factors, extensions, noise, split, out, verbose, **changes):
    """Everything behind a table of the paper.

    Extractors, all losses with their lambda, evaluation, statistics, figures, report.

    What is finished is kept: a killed reproduction continues with the same command.
    """
    options = reading(changes)
    out = out or f"runs/{dataset}-{preset}"
    names = [name.strip() for name in losses.split(",")]
    more = {
        "factors": _numbers("factors", factors),
        "extensions": extensions,
        "noise": _numbers("noise", noise),
        "split": split,
    }
    studies.reproduce(
        dataset, preset, out=out, losses=names, data=data, options=options, verbose=verbose, **more, **changes
    )


def _numbers(name, text):
    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError:
        raise ValueError(f"{name} must be numbers, as in 0.25,1,4. Received: {name}={text}.") from None


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--split", default="val", show_default=True, help="train, val or test.")
@click.option("--out", metavar="DIR", help="Where several runs are compared.  [default: the run's own folder]")
@click.option("--data", metavar="PATH", help="The dataset, where it has moved since the training.")
@click.option(
    "--refine",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Steps of refinement on each pair, as a method of its own.",
)
@VERBOSE
def evaluate(runs, split, out, data, refine, verbose):
    """Measure one run, or compare several, on the pairs of a split, at the dataset's own resolution."""
    evaluate_runs(runs, split=split, out=out, data=data, refine=refine, verbose=verbose)
