"""Options that several commands share."""

import click

from deepsim_tf import recipes
from deepsim_tf.distribute import STRATEGIES

VERBOSE = click.option(
    "--verbose", type=click.IntRange(0, 2), default=1, help="0 silent, 1 progress bars, 2 a line an epoch."
)
DATASET = click.option("--dataset", required=True, help=f"One of: {', '.join(recipes.DATASETS)}.")
DATA = click.option(
    "--data",
    metavar="PATH",
    help="Folder of the dataset, or the CSV file of --dataset csv; not needed for synthetic ones.",
)
MODEL = click.option(
    "--model",
    required=True,
    metavar="RUN",
    help="Run folder of train-registration, a .keras file, or a VoxelMorph .h5 file.",
)
PRESETS = "cpu: two cores, at most 30 minutes. gpu: full resolution, some hours. paper: the published settings."
PRESET = click.option("--preset", default="cpu", show_default=True, help=PRESETS)
CHANGES = [
    click.option("--backbone", help="voxelmorph or paper, instead of the preset's."),
    click.option(
        "--downsample", type=int, help="Train on images averaged over blocks of this side, instead of the preset's."
    ),
    click.option("--epochs", type=int, help="Instead of the preset's."),
    click.option("--steps-per-epoch", type=int, help="Batches between two validations, instead of the preset's."),
    click.option("--batch-size", type=int, help="Instead of the preset's."),
    click.option("--accumulation", type=int, help="Batches in one update of the weights, instead of the preset's."),
    click.option(
        "--precision", help=f"One of: {', '.join(recipes.PRECISIONS)}; the losses stay in float32.  [default: float32]"
    ),
    click.option("--learning-rate", type=float, help="Instead of the preset's."),
    click.option("--augment", help=f"One of: {', '.join(recipes.AUGMENTATIONS)}.  [default: spatial]"),
    click.option(
        "--cache", metavar="WHERE", help="auto, memory, none, or a folder for decoded images.  [default: auto]"
    ),
    click.option("--seed", type=int, help="Of weights, order and augmentation; 0 by default."),
]
PLACE = [
    click.option(
        "--strategy",
        help=f"One of: {', '.join(STRATEGIES)}.  [default: multi-worker where TF_CONFIG names several, else by"
        " --devices]",
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
READING = [
    click.option(
        "--intensity", metavar="RULE", help="csv: minmax, quantile, fixed:LOW:HIGH or none.  [default: minmax]"
    ),
    click.option("--shape", metavar="N,N[,N]", help="csv: size of the images, with --fit."),
    click.option("--fit", help="csv: pad or resample images of another size."),
    click.option(
        "--classes", type=int, help="csv: number of classes with background.  [default: as many as the labels show]"
    ),
    click.option(
        "--label-map",
        metavar="FILE",
        help="csv, brain-mri: CSV file with the columns label and class; merges labels, class 0 drops them.",
    ),
    click.option("--slices", is_flag=True, default=None, help="csv: a stack is a series of 2-D images."),
    click.option(
        "--merge/--no-merge", default=None, help="platelet-em: 3 classes, or those of the files.  [default: merge]"
    ),
]


def with_options(*options):
    """Decorate a command with a list of options, in the order of the list."""

    def decorate(command):
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def reading(values):
    """Take the READING options out of a command's values: the ones given, as arguments of the dataset's function."""
    options = {
        name: values.pop(name) for name in ("intensity", "shape", "fit", "classes", "label_map", "slices", "merge")
    }
    if options["shape"] is not None:
        try:
            options["shape"] = [int(n) for n in options["shape"].split(",")]
        except ValueError:
            raise ValueError(
                f"shape must be numbers of voxels, as in 128,128. Received: shape={options['shape']}."
            ) from None
    return {name: value for name, value in options.items() if value is not None}
