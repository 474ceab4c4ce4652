"""The command `deepsim`: the package's functions with options; no logic of its own.

Whatever is wrong with the input ends in one line and exit code 2.
"""

import sys

import click

import deepsim_tf
from deepsim_tf import recipes, studies, training

DATASET = click.option("--dataset", required=True, help=f"One of: {', '.join(recipes.DATASETS)}.")
DATA = click.option("--data", metavar="DIR", help="Folder of the dataset; not needed for synthetic ones.")
PRESET = click.option("--preset", default="cpu", show_default=True, help="cpu: two cores, at most 30 minutes. paper: the published settings.")
CHANGES = [
    click.option("--backbone", help="voxelmorph or paper, instead of the preset's."),
    click.option("--epochs", type=int, help="Instead of the preset's."),
    click.option("--steps-per-epoch", type=int, help="Batches between two validations, instead of the preset's."),
    click.option("--batch-size", type=int, help="Instead of the preset's."),
    click.option("--learning-rate", type=float, help="Instead of the preset's."),
    click.option("--seed", type=int, help="Of weights, order and augmentation; 0 by default."),
]
VERBOSE = click.option("--verbose", type=click.IntRange(0, 2), default=1, help="0 silent, 1 progress bars, 2 a line an epoch.")


def _with_changes(command):
    for option in reversed(CHANGES):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(deepsim_tf.__version__, prog_name="deepsim")
def cli():
    """Train image registration with a semantic similarity, and measure it."""


@cli.command()
@click.option("--out", default="runs/demo", show_default=True, metavar="DIR", help="Folder for the runs, tables, figures and the report.")
@click.option("--reduced", is_flag=True, help="A few steps only: shows that everything works, not how well.")
@VERBOSE
def demo(out, reduced, verbose):
    """The whole pipeline on synthetic, noisy microscopy: extractor, MSE, NCC and DeepSim, unseen pairs."""
    studies.demo(out, reduced=reduced, verbose=verbose)


@cli.command()
@DATASET
@DATA
@PRESET
@click.option("--out", metavar="RUN", help="Run folder.  [default: runs/DATASET/segmentation]")
@_with_changes
@VERBOSE
def train_segmentation(dataset, data, preset, out, verbose, **changes):
    """Train the supplementary task, whose encoder becomes the similarity."""
    recipe = recipes.segmentation(dataset, preset, data=data, **changes)
    out = out or f"runs/{dataset}/segmentation"
    training.train_segmentation(recipe, out, verbose=verbose)
    click.echo(f"Wrote {out}")


@cli.command()
@DATASET
@DATA
@click.option("--loss", required=True, help=f"One of: {', '.join(recipes.LOSSES)}.")
@click.option("--extractor", metavar="RUN", help="Run folder of train-segmentation, or a .keras file; for --loss deepsim.")
@PRESET
@click.option("--weight", type=float, help="Of the regulariser, lambda; instead of the preset's.")
@click.option("--int-steps", type=int, help="0: displacement; 7: diffeomorphic.")
@click.option("--out", metavar="RUN", help="Run folder.  [default: runs/DATASET/LOSS]")
@_with_changes
@VERBOSE
def train_registration(dataset, data, loss, preset, out, verbose, **changes):
    """Train a registration network."""
    recipe = recipes.registration(dataset, preset, loss, data=data, **changes)
    out = out or f"runs/{dataset}/{loss}"
    training.train_registration(recipe, out, verbose=verbose)
    click.echo(f"Wrote {out}. Measure it with: deepsim evaluate {out}")


@cli.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--split", default="val", show_default=True, help="train, val or test.")
@click.option("--out", metavar="DIR", help="Where several runs are compared.  [default: the run's own folder]")
@click.option("--data", metavar="DIR", help="Folder of the dataset, where it has moved since the training.")
@VERBOSE
def evaluate(runs, split, out, data, verbose):
    """Measure one run, or compare several, on the pairs of a split, at the dataset's own resolution."""
    studies.evaluate_runs(runs, split=split, out=out, data=data, verbose=verbose)


def main(arguments=None):
    """Entry point; returns the exit code."""
    try:
        cli.main(arguments, prog_name="deepsim", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except (click.ClickException, ValueError) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        click.echo(f"deepsim: {' '.join(message.split())}", err=True)
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("deepsim: interrupted; the same command continues a training from its last checkpoint.", err=True)
        return 130
    except OSError as error:  # a full disk, a folder without permission
        click.echo(f"deepsim: {error}", err=True)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
