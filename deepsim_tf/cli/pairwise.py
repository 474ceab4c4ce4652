"""The options of a registration without training, and the solver that they name."""

import click

from deepsim_tf import losses, models
from deepsim_tf.cli.options import one_of
from deepsim_tf.recipes import LOSSES, REGULARIZERS
from deepsim_tf.registration import PairwiseOptimizer
from deepsim_tf.registration.pairwise.optimizer import STEPS, TRANSFORMS, WEIGHT

BY_NAME = [name for name, entry in LOSSES.items() if not entry.extractor and not entry.supervised]


class Terms(click.ParamType):
    """A list of losses with factors: "ncc", or "ncc,deepsim:5"."""

    name = "terms"

    def convert(self, value, param, ctx):
        """See click.ParamType: ((name, factor), ...)."""
        if not isinstance(value, str):
            return value
        found = []
        for part in value.split(","):
            name, _, factor = part.strip().partition(":")
            known = [*BY_NAME, "deepsim"]
            if name not in known:
                raise ValueError(f"Unknown similarity {name!r}. Available: {', '.join(known)}; a sum as ncc,deepsim:5.")
            try:
                found.append((name, float(factor) if factor else 1.0))
            except ValueError:
                raise ValueError(
                    f"--similarity holds names with factors, as in ncc,deepsim:5. Received: {part.strip()!r}."
                ) from None
        return tuple(found)


class Steps(click.ParamType):
    """One whole number, or one for each level: "40", or "60,40,20"."""

    name = "steps"

    def convert(self, value, param, ctx):
        """See click.ParamType: an int, or a list."""
        if not isinstance(value, str):
            return value
        try:
            found = [int(part) for part in value.split(",")]
        except ValueError:
            raise ValueError(f"--steps takes whole numbers, as in 60,40,20. Received: {value!r}.") from None
        return found[0] if len(found) == 1 else found


# The defaults are those of PairwiseOptimizer; None tells what was not named.
PAIRWISE = [
    click.option("--transform", help=f"Without --model: {one_of(TRANSFORMS)}  [default: affine+deformable]"),
    click.option(
        "--similarity",
        type=Terms(),
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
        type=Steps(),
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
