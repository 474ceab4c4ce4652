"""The command that writes a model for a server."""

import click

from deepsim_tf.cli.options import MODEL, one_of
from deepsim_tf.export import export as export_model
from deepsim_tf.export.saved_model import EXPORT_FORMATS


@click.command()
@MODEL
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    help="Folder of the served model, such as served/cells; its versions are numbered.",
)
@click.option("--format", default="tensorflow", show_default=True, help=one_of(EXPORT_FORMATS))
def export(model, out, format):
    """Write a model for TensorFlow Serving, its intensity rule and grid inside, as the next version of a folder.

    A server that watches the folder takes up the new version by itself (docs/serving.md). onnx writes a file for each
    function.
    """
    click.echo(f"Wrote {export_model(model, out, format=format)}")
