"""The command `deepsim`: the package's functions with options; no logic of its own.

Whatever is wrong with the input ends in one line and exit code 2.
"""

import sys

import click

import deepsim_tf
from deepsim_tf.cli.command import CONTEXT, run, script_of
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


@click.group(context_settings=CONTEXT)
@click.version_option(deepsim_tf.__version__, prog_name="deepsim")
def cli():
    """Train image registration with a semantic similarity, and measure it."""


for command in (demo, download, prepare, check, train_segmentation, train_autoencoder, train_registration):
    cli.add_command(command)
for command in (evaluate, sweep, reproduce, register, warp, export):
    cli.add_command(command)


def main(arguments=None):
    """Entry point; returns the exit code."""
    return run(cli, arguments)


def script(name, text):
    """Decorate the function of a script in `train/`: it takes every option of `deepsim NAME`; `text` is its help."""
    return script_of(cli.commands[name], text)


if __name__ == "__main__":
    sys.exit(main())
