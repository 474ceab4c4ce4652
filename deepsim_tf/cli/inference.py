"""Commands that use a model on the user's own files."""

import click

from deepsim_tf import inference
from deepsim_tf.cli.options import refine, verbosity, with_options
from deepsim_tf.cli.pairwise import PAIRWISE, solver_of
from deepsim_tf.inference.geometry import ALIGN
from deepsim_tf.intensity.rules import RULES

DOUBTFUL = 3  # exit code: everything is written, and somebody should look at it


class OneOrMany(click.Command):
    """A command on one pair of files, or on a table of pairs."""

    def invoke(self, ctx):
        """Refuse neither and both."""
        one = [ctx.params[name] is not None for name in ("moving", "fixed")]
        if ctx.params["pairs"] is None and not all(one):
            raise ValueError(
                "register needs two images (--moving FILE --fixed FILE), or a CSV file of pairs (--pairs FILE.csv)."
            )
        if ctx.params["pairs"] is not None and any(one):
            raise ValueError(
                "register takes one pair (--moving, --fixed) or a CSV file of pairs (--pairs). Received: both."
            )
        return super().invoke(ctx)


@click.command(cls=OneOrMany)
@click.option(
    "--model",
    metavar="RUN",
    help="Run folder of train-registration, a .keras file, or a VoxelMorph .h5 file. Without it, the loss is minimised"
    " on the pair itself, which needs no training.",
)
@click.option(
    "--moving",
    metavar="FILE",
    help="The image that is moved: NIfTI, MGZ, TIFF, PNG, npy or npz; channels in files of their own as A;B.",
)
@click.option("--fixed", metavar="FILE", help="The image whose grid and header the result has.")
@click.option(
    "--pairs",
    metavar="FILE.csv",
    help="Many pairs: columns moving, fixed and optionally name. Instead of --moving and --fixed.",
)
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    help="Folder to write; with --pairs one folder a pair in it, and summary.csv.",
)
@with_options(*PAIRWISE)
@with_options(refine("on the pair itself, after the network of --model"))
@click.option(
    "--align",
    default="headers",
    show_default=True,
    help=f"{' or '.join(ALIGN)}: where the moving image lies in the world, or with its centre on that of the fixed"
    " one.",
)
@click.option(
    "--intensity", metavar="RULE", help=f"One of: {RULES}; instead of the model's own.  [without --model: quantile]"
)
@with_options(verbosity("0 silent, 1 numbers and a progress bar."))
def register(model, moving, fixed, pairs, out, verbose, refine, align, intensity, **pairwise):
    """Register your own files: one pair, or all pairs of a CSV file; without a model, too.

    Writes the warped image with the fixed image's header, flow.nii.gz (mm, for ANTs, ITK and 3-D Slicer), the
    log-Jacobian, the similarity map,
    overview.png and registration.json; without a model also inverse_flow.nii.gz and affine.txt, a transform of ITK.
    Exit codes: 0 done, 1 some pairs of a batch failed, 2 wrong usage or input, 3 done, and a result is doubtful.
    """
    solver, options = solver_of(model, pairwise), {"refine": refine, "align": align, "intensity": intensity}
    if pairs is None:
        report = inference.register_files(
            solver, moving, fixed, out, **options, warn=lambda text: click.echo(f"deepsim: warning: {text}", err=True)
        )
        if verbose:
            click.echo(_sentence(report))
            click.echo(f"Wrote {out}: {', '.join([*report['files'].values(), 'registration.json'])}")
        return DOUBTFUL if report["doubtful"] else 0
    table = inference.register_pairs(solver, pairs, out, **options, verbose=verbose)
    failed = table[table["status"] == "failed"]
    for row in failed.itertuples():
        click.echo(f"{row.name}: failed: {row.reason}", err=True)
    click.echo(f"{len(table) - len(failed)} of {len(table)} pairs registered. Wrote {out}/summary.csv")
    if len(failed):
        return 1
    return DOUBTFUL if table["doubtful"].any() else 0


@click.command()
@click.option("--flow", metavar="FLOW", help="Apply this flow, the flow.nii.gz of a registration, to --image.")
@click.option(
    "--image",
    metavar="FILE",
    help="The moving image, or anything that lies in its space: labels, a mask, another channel.",
)
@click.option("--labels", is_flag=True, help="Take the nearest voxel, so that labels stay labels.")
@click.option(
    "--compose",
    nargs=2,
    metavar="FLOW1 FLOW2",
    help="Write the flow that warps as FLOW1, then FLOW2: A to B, and B to C, give A to C.",
)
@click.option("--invert", metavar="FLOW", help="Write the inverse of this flow.")
@click.option(
    "--like",
    metavar="FILE",
    help="With --invert: image whose grid the inverse gets, normally the moving one.  [default: the flow's grid]",
)
@click.option(
    "--out",
    required=True,
    metavar="FILE",
    help="File to write: .nii.gz, .mgz, .tif, .png or .npy for images, .nii.gz for flows.",
)
def warp(flow, image, labels, compose, invert, like, out):
    r"""Apply a stored flow to an image or labels, join two flows into one, or invert one.

    \b
    deepsim warp --flow FLOW --image IMAGE --out FILE [--labels]
    deepsim warp --compose FLOW1 FLOW2 --out FLOW
    deepsim warp --invert FLOW --out FLOW [--like IMAGE]
    """
    if [flow is not None, bool(compose), invert is not None].count(True) != 1 or (flow is None) != (image is None):
        raise ValueError("warp takes one of: --flow FLOW --image IMAGE, --compose FLOW1 FLOW2, --invert FLOW.")
    if labels and flow is None:
        raise ValueError("--labels belongs to --flow and --image.")
    if like is not None and invert is None:
        raise ValueError("--like belongs to --invert.")
    if flow is not None:
        inference.warp_file(flow, image, out, labels=labels)
    elif compose:
        inference.compose_files(*compose, out)
    else:
        report = inference.invert_file(invert, out, like=like)
        click.echo(str(report), err=bool(report.failed))
    click.echo(f"Wrote {out}")
    return 0


def _sentence(report):
    parts = [
        "Displacement: mean {mean:.3g}, at most {max:.3g} {unit}".format(**report["displacement"]),
        f"folds {100 * report['folds']:.2g} %",
    ]
    if report["similarity"]:
        parts.insert(
            0, "{measure}: {before:.4g} before, {after:.4g} after ({better} is better)".format(**report["similarity"])
        )
    return "; ".join(parts) + f"; {report['seconds']['all']:.1f} s."
