"""One pair of files, registered: from the images to every number and array of a result."""

import dataclasses
import time

import numpy as np

from deepsim_tf.grids.affine import voxel_sizes
from deepsim_tf.grids.flow import displacement
from deepsim_tf.grids.sampling import spread
from deepsim_tf.grids.world import is_world, lps
from deepsim_tf.inference.apply import warp_array
from deepsim_tf.inference.arrays import warp_image
from deepsim_tf.inference.doubts import doubts, outside_share
from deepsim_tf.inference.field import Field, field_of
from deepsim_tf.inference.geometry import Geometry, place
from deepsim_tf.inference.image_files import header_of, scaled_voxels, source_of, stored_voxels
from deepsim_tf.inference.placement import placement
from deepsim_tf.intensity.rules import parse_rule
from deepsim_tf.registration.prediction import Pair, Prediction
from deepsim_tf.registration.refined import refined

FLOOR = 1e-9  # of det J in its logarithm, as in ds.metrics.sd_log_jacobian


@dataclasses.dataclass(frozen=True, kw_only=True)
class Registered:
    """What a registration gives, on the fixed image's own grid.

    Attributes:
        warped: (*spatial, channels) float32, the moving image in its file's intensities.
        field: the Field from the fixed into the moving image.
        inverse: the Field from the moving into the fixed image, on the moving image's grid, where the solver has it.
        affine: (ndim + 1, ndim + 1), the affine part, from the world of fixed to that of moving, where it has one.
        log_jacobian: (*spatial) float32, log det J; log(1e-9) = -20.7 where the field folds.
        similarity_map: (*spatial) float32 in [-1, 1], or None where the model was not trained with DeepSim. Computed on
            the model's grid.
        numbers: dict for registration.json.
        warnings: sentences about what is doubtful in the input.
        doubts: sentences about what is doubtful in the result.
        images: {"fixed", "moving", "warped"} (*spatial, channels) float32 under the intensity rule, all on the fixed
            grid, for pictures.
        geometry: the Geometry.
    """

    warped: np.ndarray
    field: Field
    inverse: Field | None
    affine: np.ndarray | None
    log_jacobian: np.ndarray
    similarity_map: np.ndarray | None
    numbers: dict
    warnings: list
    doubts: list
    images: dict
    geometry: Geometry


def register_pair(solver, moving, fixed, *, refine=0, align="headers", intensity=None):
    """Register two image files, and measure the result; nothing is written.

    Args:
        solver: an opened Solver (`open_solver`).
        moving, fixed: paths of the files; of an image whose channels are files of their own, all of them,
            "t1.nii.gz;t2.nii.gz".
        refine: steps of `refine_flow` after the solver.
        align: see `geometry.place`.
        intensity: rule for both files, instead of the solver's own.

    Returns:
        Registered.

    Raises:
        ValueError: files that cannot be read or do not go together, see `geometry.place`; a model without an intensity
            rule.
    """
    started = time.perf_counter()
    refinement = refined(solver, refine)
    rule = rule_of(solver, intensity)
    sources = {"moving": source_of(moving), "fixed": source_of(fixed)}
    headers = [header_of(source, solver.channels) for source in sources.values()]
    geometry = place(solver, *headers, paths=[source.image for source in sources.values()], align=align)
    scaled = {name: scaled_voxels(source, rule, solver.channels) for name, source in sources.items()}
    overlap, warnings = placement(geometry, **scaled) if is_world(headers[1]) else (None, [])
    on_grid = {name: geometry.onto_grid(name, image)[None] for name, image in scaled.items()}
    where = {"placement": geometry.placement, "spacing": voxel_sizes(geometry.fixed_affine)}
    pair = Pair(**on_grid, **(where if geometry.own_grids else {}))

    predicting = time.perf_counter()
    prediction = solver.solve(pair)
    refining = time.perf_counter()
    if refine:
        prediction = refinement.improve(pair, prediction)
    done = time.perf_counter()

    flow = np.asarray(prediction.flow)[0]
    similarity, map_on_grid = _similarity(solver.objective(), pair, geometry.unregistered, flow)
    field = field_of(flow, geometry)
    determinant = field.determinant()
    log_jacobian = np.log(np.maximum(determinant, FLOOR, dtype=np.float64)).astype(np.float32)
    before = field_of(geometry.unregistered, geometry)  # as the images lie before any flow
    images = {"fixed": scaled["fixed"], "moving": warp_array(scaled["moving"], geometry.moving_affine, before)}
    images["warped"] = warp_array(scaled["moving"], geometry.moving_affine, field)
    mean, largest = field.lengths()
    affine, folds = _in_world(prediction, geometry), float(np.mean(determinant <= 0))
    outside = outside_share(field, geometry.moving_affine, geometry.moving_shape)
    found = {"similarity": similarity, "folds": folds, "affine": affine, "outside": outside, "images": scaled}
    numbers = {
        "similarity": similarity,
        "folds": folds,
        "outside": outside,
        "sd_log_jacobian": float(np.std(log_jacobian, dtype=np.float64)),
        "displacement": {"mean": mean, "max": largest, "unit": field.unit},
        "placement": overlap,
        "align": {"by": align, "translation": (lps(-geometry.translation) + 0.0).tolist()},
        "refinement": _told(prediction),
        "optimization": prediction.extra.get("optimization", [None])[0],
        "grid": {
            "shape": list(geometry.grid),
            "voxel_size": voxel_sizes(geometry.grid_affine).tolist(),
        },
        "intensity": rule,
        "seconds": {
            "solver": round(refining - predicting, 3),
            "refinement": round(done - refining, 3),
            "all": round(time.perf_counter() - started, 3),
        },
    }
    return Registered(
        warped=warp_array(stored_voxels(sources["moving"], solver.channels), geometry.moving_affine, field),
        field=field,
        inverse=_inverse(prediction, geometry),
        affine=affine,
        log_jacobian=log_jacobian,
        similarity_map=None
        if map_on_grid is None
        else spread(map_on_grid, geometry.fixed_to_grid, geometry.fixed_shape),
        numbers=numbers,
        warnings=warnings,
        doubts=list(doubts(field=field, **found)),
        images=images,
        geometry=geometry,
    )


def rule_of(solver, intensity=None):
    """The intensity rule for files: the one that is given, or the solver's own.

    Raises:
        ValueError: neither, or an unknown rule.
    """
    rule = intensity or solver.intensity
    if rule is None:
        raise ValueError(
            "The model carries no intensity rule for files. Name the one its training images had (--intensity), such"
            " as minmax, quantile or fixed:0:256."
        )
    parse_rule(rule)
    return rule


def _similarity(objective, pair, unregistered, flow):
    """({measure, before, after, better}, similarity map after) of a solver's objective, on its grid.

    (None, None) where it has none; the map is None where no DeepSim is among its similarities.
    """
    if objective is None:
        return None, None
    placed, warped = (warp_image(pair.moving[0], some)[None] for some in (unregistered, flow))
    semantic = objective.semantic
    if semantic is not None and len(objective.similarity) == 1:
        before, after = (np.asarray(semantic.similarity_map(pair.fixed, image))[0] for image in (placed, warped))
        measured = {"before": float(before.mean()), "after": float(after.mean()), "better": "higher"}
        return {"measure": "DeepSim", **measured}, after
    flows = unregistered[None], flow[None]
    before, after = (
        float(objective.terms(pair, Prediction(flow=some, warped=image))["similarity"])
        for some, image in zip(flows, (placed, warped), strict=True)
    )
    found = {"measure": f"{objective.title} (loss)", "before": before, "after": after, "better": "lower"}
    return found, None if semantic is None else np.asarray(semantic.similarity_map(pair.fixed, warped))[0]


def _in_world(prediction, geometry):
    """The affine part from the world of fixed to that of moving, or None."""
    if prediction.affine is None:
        return None
    affine = np.asarray(prediction.affine)[0]
    return geometry.flow_to_world @ affine @ geometry.fixed_to_grid @ np.linalg.inv(geometry.fixed_affine)


def _inverse(prediction, geometry):
    """The inverse of the flow as a Field, or None."""
    flow = prediction.extra.get("inverse", [None])[0]
    if flow is None:
        return None
    shape, ndim = flow.shape[:-1], flow.shape[-1]
    maps = {"grid_to_moving": geometry.fixed_affine, "fixed": geometry.moving_affine}
    vectors = displacement(flow, np.eye(ndim + 1), shape=shape, **maps)
    return Field(vectors, geometry.moving_affine, geometry.unit)


def _told(prediction):
    """What a refinement tells of itself, for registration.json; None without one."""
    history = prediction.extra.get("history")
    return None if history is None else {"steps": len(history[0]["loss"]) - 1, **history[0]}
