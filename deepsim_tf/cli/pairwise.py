"""The options of a registration without training, and the solver that they name."""

import click

from deepsim_tf import losses, models
from deepsim_tf.cli.options import one_of
from deepsim_tf.recipes import LOSSES, REGULARIZERS
from deepsim_tf.registration import PairwiseOptimizer
from deepsim_tf.registration.pairwise.optimizer import STEPS, TRANSFORMS, WEIGHT

BY_NAME = [name for name, entry in LOSSES.items() if not entry.extractor and not entry.supervised]


class Parsed(click.ParamType):
    """What a function makes of the text; it raises a ValueError about another."""

    def __init__(self, name, parse):
        self.name, self.parse = name, parse

    def convert(self, value, param, ctx):
        """See click.ParamType."""
        return self.parse(value) if isinstance(value, str) else value


def parse_terms(text):
    """((name, factor), ...) of a list of losses: "ncc", or "ncc,deepsim:5"."""
    found, known = [], [*BY_NAME, "deepsim"]
    for part in text.split(","):
        name, _, factor = part.strip().partition(":")
        if name not in known:
            raise ValueError(f"Unknown similarity {name!r}. Available: {', '.join(known)}; a sum as ncc,deepsim:5.")
        try:
            found.append((name, float(factor) if factor else 1.0))
        except ValueError:
            example = "names with factors, as in ncc,deepsim:5"
            raise ValueError(f"--similarity holds {example}. Received: {part.strip()!r}.") from None
    return tuple(found)


def parse_steps(text):
    """A whole number, or a list with one for each grid: "40", or "60,40,20"."""
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--steps takes whole numbers, as in 60,40,20. Received: {text!r}.") from None
    return found[0] if len(found) == 1 else found


# The defaults are those of PairwiseOptimizer; None tells what was not named.
PAIRWISE = [
    click.option("--transform", help=f"Without --model: {one_of(TRANSFORMS)}  [default: affine+deformable]"),
    click.option(
        "--similarity",
        type=Parsed("terms", parse_terms),
        metavar="LOSS[:FACTOR][,...]",
        help=f"Without --model: {one_of([*BY_NAME, 'deepsim'])[:-1]}, or a sum, as in ncc,deepsim:5.  [default: ncc]",
    ),
    click.option(
        "--extractor",
        metavar="RUN",
        help="Of --similarity deepsim: the run folder or .keras file of a segmentation network or an autoencoder.",
    ),
    click.option("--regularizer", help=f"Without --model: {one_of(REGULARIZERS)}  [default: diffusion]"),
    click.option("--weight", type=float, help=f"Of the regulariser, without --model.  [default: {WEIGHT:g}]"),
    click.option("--levels", type=int, help="Grids of the flow, each twice as fine, without --model.  [default: 3]"),
    click.option(
        "--steps",
        type=Parsed("steps", parse_steps),
        metavar="N[,N...]",
        help=f"At most, on each of these grids, without --model.  [default: {','.join(map(str, STEPS))}]",
    ),
    click.option(
        "--resolution",
        type=float,
        metavar="MM",
        help="Length of the voxels of the finest grid, without --model.  [default: those of the fixed image]",
    ),
]


def solver_of(model, options):
    """What registers: the model's path, or the PairwiseOptimizer of the options.

    Raises:
        ValueError: options of both.
    """
    named = {name: value for name, value in options.items() if value is not None}
    if model is not None:
        if named:
            flag = next(iter(named))
            raise ValueError(
                f"--{flag} is for a registration without --model; a model has its own loss and flow. Leave out one"
                " of the two."
            )
        return model
    extractor = named.pop("extractor", None)
    terms = named.pop("similarity", None)
    if any(name == "deepsim" for name, _ in terms or ()) != (extractor is not None):
        raise ValueError(
            "--similarity deepsim and --extractor belong together: name the run of train-segmentation or"
            " train-autoencoder whose features are compared."
        )
    if terms is not None:
        features = None if extractor is None else models.FeatureExtractor.from_model(extractor)
        named["similarity"] = [
            (losses.DeepSim(features) if name == "deepsim" else LOSSES[name].make(), factor) for name, factor in terms
        ]
    return PairwiseOptimizer(**named)
