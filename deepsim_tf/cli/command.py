"""What all commands share: values in the form that the package's functions take, and errors of one line."""

import sys

import click

from deepsim_tf.checks import Option
from deepsim_tf.losses.table import LOSSES
from deepsim_tf.recipes import DATASETS

PLACE = ("strategy", "devices", "max_skipped")
READING = {name: option for entry in DATASETS.values() for name, option in entry.options.items()}


class Command(click.Command):
    """A command that gathers some of its options before it calls its function.

    Those of a data set come as one dict, `options`, those of a loss as `loss_options`, and those that say where to
    train as `place`; where no `out` is given, it is made of the others.
    """

    def invoke(self, ctx):
        """Gather what was given, then call the function."""
        values = ctx.params
        for option in self.params:
            if isinstance(option, Out) and values["out"] is None and option.template:
                values["out"] = option.template.format(**values)
        if PLACE[0] in values:
            values["place"] = {name: values.pop(name) for name in PLACE}
        if any(name in values for name in READING):
            given = {name: values.pop(name, None) for name in READING}
            values["options"] = {name: value for name, value in given.items() if value is not None}
        if "loss_option" in values:
            values["loss_options"] = _loss_options(values.pop("loss_option"))
        return super().invoke(ctx)


def _loss_options(texts):
    """{option: value} of texts such as "window=5"; what no loss has is for the recipe to refuse."""
    known = {name: option for entry in LOSSES.values() for name, option in entry.options.items()}
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--loss-option takes NAME=VALUE, as in window=5. Received: {text}.")
        found[name] = known[name].parse(name, value) if name in known else value
    return found


class Out(click.Option):
    """The option `--out`.

    Args:
        template: what it is by default, of the other options, as in "runs/{dataset}/{loss}"; None for None.
    """

    def __init__(self, *arguments, template=None, **keywords):
        super().__init__(*arguments, **keywords)
        self.template = template


class Numbers(click.ParamType):
    """Numbers separated by commas, as a list of floats; an empty text is an empty list.

    Args:
        example: what the sentence of an error shows.
        count: how many there must be, in words, or None for any.
    """

    name = "numbers"

    def __init__(self, example, count=None):
        self.example, self.count = example, count

    def convert(self, value, param, ctx):
        """See click.ParamType."""
        if not isinstance(value, str):
            return value
        try:
            return [float(part) for part in value.split(",")] if value else []
        except ValueError:
            what = f"{self.count} numbers" if self.count else "numbers"
            raise ValueError(
                f"{param.name} must be {what}, as in {self.example}. Received: {param.name}={value}."
            ) from None


class Names(click.ParamType):
    """Names separated by commas, as a list."""

    name = "names"

    def convert(self, value, param, ctx):
        """See click.ParamType."""
        return [name.strip() for name in value.split(",")] if isinstance(value, str) else value


class Value(click.ParamType):
    """A value of the kind that an Option takes."""

    name = "value"

    def __init__(self, option: Option):
        self.option = option

    def convert(self, value, param, ctx):
        """See click.ParamType."""
        return self.option.parse(param.name, value) if isinstance(value, str) else value


def run(command, arguments=None, name="deepsim"):
    """Call a command with the arguments of the command line; returns the exit code."""
    try:
        return command.main(arguments, prog_name=name, standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except (click.ClickException, ValueError) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        click.echo(f"{name}: {' '.join(message.split())}", err=True)
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo(f"{name}: interrupted; the same command continues from what is finished.", err=True)
        return 130
    except OSError as error:  # a full disk, a folder without permission
        click.echo(f"{name}: {error}", err=True)
        return 2


def script_of(command, text):
    """Decorate the function of a script with every option of a command; calling it runs the script and exits.

    Args:
        command: a click command, whose options and arguments are taken.
        text: the script's docstring, its help.
    """

    def decorate(function):
        paragraphs = "\n\n".join(f"\b\n{paragraph}" for paragraph in text.strip().split("\n\n"))
        made = type(command)(
            command.name,
            params=command.params,
            callback=function,
            help=paragraphs,
            epilog=command.epilog,
            context_settings=CONTEXT,
        )

        def main(arguments=None):
            sys.exit(run(made, arguments, "deepsim"))

        main.command = made
        return main

    return decorate


CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
