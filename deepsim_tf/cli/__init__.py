"""The command `deepsim`: the package's functions with options; no logic of its own.

Whatever is wrong with the input ends in one line and exit code 2.
"""

import sys

import click

import deepsim_tf
from deepsim_tf.cli.data import check, download, prepare
from deepsim_tf.cli.export import export
from deepsim_tf.cli.inference import register, warp
from deepsim_tf.cli.training import (
    demo,
    evaluate,
    reproduce,
    sweep,
    train_autoencoder,
    train_registration,
    train_segmentation,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(deepsim_tf.__version__, prog_name="deepsim")
def cli():
    """Train image registration with a semantic similarity, and measure it."""


for command in (
    demo,
    download,
    prepare,
    check,
    train_segmentation,
    train_autoencoder,
    train_registration,
    evaluate,
    sweep,
    reproduce,
):
    cli.add_command(command)
for command in (register, warp, export):
    cli.add_command(command)


def main(arguments=None):
    """Entry point; returns the exit code."""
    try:
        return cli.main(arguments, prog_name="deepsim", standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except (click.ClickException, ValueError) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        click.echo(f"deepsim: {' '.join(message.split())}", err=True)
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("deepsim: interrupted; the same command continues from what is finished.", err=True)
        return 130
    except OSError as error:  # a full disk, a folder without permission
        click.echo(f"deepsim: {error}", err=True)
        return 2


if __name__ == "__main__":
    sys.exit(main())
