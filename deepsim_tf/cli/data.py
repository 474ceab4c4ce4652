"""Commands that fetch, prepare and check datasets."""

import click

from deepsim_tf import checks, recipes
from deepsim_tf.cli.command import Command, Numbers
from deepsim_tf.cli.options import READ, verbosity, with_options
from deepsim_tf.data.freesurfer.prepare import prepare_brain_mri
from deepsim_tf.data.sets.download import download as download_dataset
from deepsim_tf.recipes import check as dataset_check

QUIET = verbosity("0 silent, 1 a progress bar.")
PUBLISHED = [name for name, entry in recipes.DATASETS.items() if entry.download]


@click.command()
@click.argument("dataset")
@click.argument("folder", metavar="DIR")
@QUIET
def download(dataset, folder, verbose):
    """Fetch and unpack a dataset that its authors publish."""
    checks.known("dataset", dataset, PUBLISHED)
    path = download_dataset(recipes.DATASETS[dataset].download, folder, verbose=verbose)
    click.echo(f"{dataset} is in {path}. Use it with: --dataset {dataset} --data {path}")


download.help += f"\n\nDATASET is one of: {', '.join(PUBLISHED)}."


@click.group()
def prepare():
    """Bring raw data to the layout of a dataset."""


@prepare.command("brain-mri")
@click.argument("subjects_dir", metavar="SUBJECTS_DIR")
@click.argument("out", metavar="OUT")
@click.option("--atlas", metavar="SUBJECT", help="The fixed image of all pairs.  [default: drawn with the seed]")
@click.option(
    "--fractions",
    type=Numbers("0.6,0.2,0.2", "three"),
    default="0.6,0.2,0.2",
    show_default=True,
    help="Of subjects in train, val and test.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the split.")
@click.option("--jobs", type=click.IntRange(min=1), help="Subjects at a time.  [default: one for each core]")
@QUIET
def brain_mri(subjects_dir, out, atlas, fractions, seed, jobs, verbose):
    """FreeSurfer subjects to the brain layout: affine to MNI305, 160 x 192 x 224 at 1 mm, 24 classes.

    Reads mri/norm.mgz (or brain.mgz), mri/aparc+aseg.mgz (or aseg.mgz) and mri/transforms/talairach.xfm. Finished
    subjects are skipped.
    """
    prepared = prepare_brain_mri(
        subjects_dir, out, atlas=atlas, fractions=tuple(fractions), seed=seed, jobs=jobs, verbose=verbose
    )
    for name, problem in prepared.failed.items():
        click.echo(f"deepsim: left out {name}: {' '.join(problem.split())}", err=True)
    click.echo(
        f"{len(prepared.subjects)} subjects are in {out}, {prepared.atlas} as the atlas. Check them with: deepsim"
        f" check brain-mri {out}"
    )
    return 1 if prepared.failed else 0


@click.command(cls=Command)
@click.argument("dataset")
@click.argument("path", metavar="PATH")
@with_options(*READ, QUIET)
def check(dataset, path, verbose, options):
    """Read every file of a dataset, and list all problems at once.

    DATASET is a name of --dataset; PATH is its folder, or the CSV file of own data.
    """
    lines, problems = dataset_check.check_dataset(dataset, path, verbose=verbose, **options)
    click.echo("\n".join(lines))
    if problems:
        click.echo(f"{len(problems)} problem{'s' * (len(problems) > 1)}:")
        click.echo("\n".join(f"  {' '.join(problem.split())}" for problem in problems))
    else:
        click.echo("No problem found.")
    return 2 if problems else 0
