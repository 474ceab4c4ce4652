"""The options that several commands share; a command's script in `train/` takes them from the command."""

import functools
import inspect
import re

import click

from deepsim_tf import recipes, studies
from deepsim_tf.cli.command import READING, Numbers, Out, Value
from deepsim_tf.distribute import STRATEGIES
from deepsim_tf.networks.unet import BACKBONES


def with_options(*options):
    """Decorate a command with options, in this order."""
    return lambda command: functools.reduce(lambda made, option: option(made), reversed(options), command)


def one_of(names):
    """The sentence of a help that lists names."""
    return f"One of: {', '.join(names)}."


def out(template, help="Run folder."):
    """Where a command writes: by default in a folder made of other options, as in "runs/{dataset}/{loss}"."""
    default = re.sub(r"{(\w+)}", lambda name: name[1].upper(), template)
    return click.option("--out", cls=Out, template=template, metavar="DIR", help=f"{help}  [default: {default}]")


def verbosity(help, most=1):
    """How much a command prints."""
    return click.option("--verbose", type=click.IntRange(0, most), default=1, show_default=True, help=help)


def refine(when):
    """Steps of instance refinement."""
    steps = click.IntRange(min=0)
    return click.option("--refine", type=steps, default=0, show_default=True, help=f"Steps of refinement {when}.")


def _reading(name, option):
    """The option of a data set's own argument, of all data sets that have it."""
    owners = [dataset for dataset, entry in recipes.DATASETS.items() if name in entry.options]
    default = inspect.signature(recipes.DATASETS[owners[0]].load).parameters[name].default
    dashed, text = name.replace("_", "-"), f"{', '.join(owners)}: {option.about}."
    if default is not None:
        shown = f"{'' if default else 'no-'}{dashed}" if option.kind is bool else default
        text += f"  [default: {shown}]"
    if option.kind is bool:
        return click.option(f"--{dashed}/--no-{dashed}", default=None, help=text)
    kinds = {int: {"type": int}, list[int]: {"type": Value(option), "metavar": "N,N[,N]"}}
    return click.option(f"--{dashed}", help=text, **kinds.get(option.kind, {"metavar": "VALUE"}))


MODEL = click.option(
    "--model",
    required=True,
    metavar="RUN",
    help="Run folder of train-registration, a .keras file, or a VoxelMorph .h5 file.",
)
VERBOSE = verbosity("0 silent, 1 progress bars, 2 a line an epoch.", 2)
DATA = [
    click.option("--dataset", required=True, help=one_of(recipes.DATASETS)),
    click.option(
        "--data",
        metavar="PATH",
        help="Folder of the dataset, or the CSV file of --dataset csv; not needed for synthetic ones.",
    ),
    click.option(
        "--preset",
        default="cpu",
        show_default=True,
        help=" ".join(f"{name}: {about}." for name, about in recipes.PRESETS.items()),
    ),
]
CHANGES = [
    click.option("--backbone", help=f"{one_of(BACKBONES)[:-1]}, instead of the preset's."),
    click.option(
        "--downsample", type=int, help="Train on images averaged over blocks of this side, instead of the preset's."
    ),
    click.option("--epochs", type=int, help="Instead of the preset's."),
    click.option("--steps-per-epoch", type=int, help="Batches between two validations, instead of the preset's."),
    click.option("--batch-size", type=int, help="Instead of the preset's."),
    click.option("--accumulation", type=int, help="Batches in one update of the weights, instead of the preset's."),
    click.option(
        "--precision", help=f"{one_of(recipes.PRECISIONS)[:-1]}; the losses stay in float32.  [default: float32]"
    ),
    click.option("--learning-rate", type=float, help="Instead of the preset's."),
    click.option("--augment", help=f"{one_of(recipes.AUGMENTATIONS)}  [default: spatial]"),
    click.option(
        "--cache", metavar="WHERE", help="auto, memory, none, or a folder for decoded images.  [default: auto]"
    ),
    click.option("--seed", type=int, help="Of weights, order and augmentation; 0 by default."),
]
READ = [_reading(name, option) for name, option in READING.items()]
PLACE = [
    click.option(
        "--strategy",
        help=f"{one_of(STRATEGIES)}  [default: multi-worker where TF_CONFIG names several, else by --devices]",
    ),
    click.option(
        "--devices",
        type=int,
        help="GPUs of this machine that share a batch (CPUs where there is no GPU).  [default: 1]",
    ),
    click.option(
        "--max-skipped",
        type=click.IntRange(min=0),
        default=10,
        show_default=True,
        help="Steps without a finite loss until the run stops.",
    ),
]
LOSS = [
    click.option("--loss", required=True, help=one_of(recipes.LOSSES)),
    click.option(
        "--extractor",
        metavar="RUN",
        help="; ".join(
            f"{loss}: {recipes.EXTRACTORS[entry.extractor].expected}"
            for loss, entry in recipes.LOSSES.items()
            if entry.extractor
        )
        + ".",
    ),
]
GOAL = [
    click.option(
        "--loss-option",
        multiple=True,
        metavar="NAME=VALUE",
        help="An option of the loss, as in window=5; may be given several times.",
    ),
    click.option(
        "--regularizer",
        help="; ".join(f"{name}: {entry.about}" for name, entry in recipes.REGULARIZERS.items())
        + ". Lambda of the presets is for diffusion.  [default: diffusion]",
    ),
    click.option("--int-steps", type=int, help="0: displacement; 7: diffeomorphic."),
]
WEIGHTS = [
    click.option(
        "--factors",
        type=Numbers("0.25,1,4"),
        default=",".join(map(str, studies.FACTORS)),
        show_default=True,
        help="Of the preset's lambda, for the sweep on validation pairs.",
    ),
    click.option(
        "--extensions",
        type=click.IntRange(min=0),
        default=studies.EXTENSIONS,
        show_default=True,
        help="Weights tried beyond the ends of the sweep while the best is at an end.",
    ),
]
TRAINING = [*CHANGES, *READ]
