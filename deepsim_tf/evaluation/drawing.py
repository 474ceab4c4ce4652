"""The figures and example pairs of a comparison."""

import numpy as np

from deepsim_tf import figures
from deepsim_tf.inference.arrays import register, warp_labels
from deepsim_tf.metrics.table import heading

EXAMPLES = 3  # pairs in the report's slider


def draw_comparison(folder, images, models, tables, pairs, histories, *, noise=None, background):
    """Every figure of a comparison, as PNG and PDF; images of three channels in colour, of others the first channel.

    Args:
        folder: where to write.
        images: the ImageSet that was measured.
        models: dict from method to Solver.
        tables: dict from method, "identity" first, to its table of pairs.
        pairs: all tables one under the other.
        histories: dict from method to history.csv.
        noise: noise.csv, or None.
        background: a `comparison.Background`.

    Returns:
        dict from caption to the path of the PNG.
    """
    identity = tables["identity"]
    labelled = identity["dice"].notna().any()
    # Without labels there is no Dice, and the loss, on each method's own scale, is what remains.
    measure = "val_dice" if all("val_dice" in history for history in histories.values()) else "val_loss"
    convergence = figures.convergence(histories, folder / "convergence", measure=measure)
    drawn = {f"{heading(measure)} during training (as figure 2 of the paper)": convergence}
    if labelled:
        drawn["Dice of the pairs (as figure 3 of the paper)"] = figures.dice_boxplot(
            pairs, folder / "dice", title=images.name
        )
        drawn["Dice of each class"] = figures.dice_per_class(pairs, folder / "dice_per_class", title=images.name)
    if background.sweep is not None and background.sweep["dice"].notna().any():
        caption = "Dice against smoothness, for every weight of the regulariser"
        drawn[caption] = figures.smoothness(background.sweep, folder / "smoothness", reference=background.reference)
    if noise is not None:
        drawn["Dice under noise in both images, without training on it"] = figures.noise_robustness(
            noise, folder / "noise"
        )
    drawn |= _draw_example(folder, images, models, tables, labelled)
    return {caption: next(path for path in paths if str(path).endswith(".png")) for caption, paths in drawn.items()}


def example_pairs(images, models, identity):
    """The pairs with the lowest Dice before registration, for the report's slider.

    Moving, fixed, and warped by each method.
    """
    order = np.argsort(identity["dice"].fillna(0).to_numpy(), kind="stable")[:EXAMPLES]
    examples = []
    for k in order:
        moving, fixed = images.pair(int(k))[:2]
        warped = {method: register(model, moving, fixed)["warped"] for method, model in models.items()}
        name = f"{identity['moving'][k]} to {identity['fixed'][k]}"
        examples.append({"name": name, "moving": moving, "warped": warped, "fixed": fixed})
    return examples


def _draw_example(folder, images, models, tables, labelled):
    """One pair, the one that needs registration most.

    Each method, all methods, features and similarity of a DeepSim.
    """
    identity, drawn = tables["identity"], {}
    k = int(identity["dice"].argmin()) if labelled else 0
    moving, fixed, moving_labels, fixed_labels = images.pair(k)
    registered = {method: register(model, moving, fixed) for method, model in models.items()}
    labelled = moving_labels is not None
    warped_labels = (
        {method: warp_labels(moving_labels, result["flow"]) for method, result in registered.items()}
        if labelled
        else None
    )
    name = f"{identity['moving'][k]} to {identity['fixed'][k]}"
    for method, result in registered.items():
        stem = folder / f"example_{_file_name(method)}"
        drawn[f"{method}: {name}, the pair with the lowest Dice before registration"] = figures.example_pair(
            stem,
            moving=moving,
            fixed=fixed,
            warped=result["warped"],
            flow=result["flow"],
            moving_labels=moving_labels,
            fixed_labels=fixed_labels,
            warped_labels=warped_labels[method] if labelled else None,
        )
    if len(registered) > 1:
        drawn[f"All methods: {name}"] = figures.example_methods(
            folder / "example_methods",
            moving=moving,
            fixed=fixed,
            warped={method: result["warped"] for method, result in registered.items()},
            flow={method: result["flow"] for method, result in registered.items()},
            moving_labels=moving_labels,
            fixed_labels=fixed_labels,
            warped_labels=warped_labels,
            dice={method: table["dice"][k] for method, table in tables.items()},
        )
    for method, result in registered.items():
        if result["similarity_map"] is not None:
            similarity = models[method].objective().semantic
            before = np.asarray(similarity.similarity_map(fixed[None], moving[None]))[0]
            lowest = float(min(np.percentile(before, 1), np.percentile(result["similarity_map"], 1)))
            stem = folder / f"similarity_{_file_name(method)}"
            maps = {"map_before": before, "lowest": lowest}
            drawn[f"{method}: similarity of the features at every voxel"] = figures.similarity(
                fixed, result["warped"], result["similarity_map"], stem, moving=moving, **maps
            )
            features = {level: np.asarray(found)[0] for level, found in similarity.extractor(fixed[None]).items()}
            drawn[f"{method}: what the extractor sees in the fixed image"] = figures.feature_maps(
                fixed, features, folder / f"features_{_file_name(method)}"
            )
    return drawn


def _file_name(method):
    return "".join(c if c.isalnum() else "_" for c in method.lower()).strip("_")
