"""Registering the user's own files: from two paths to one folder with everything."""

import json
import os
import time
import warnings as python_warnings
from pathlib import Path

from deepsim_tf import checks
from deepsim_tf.data.sources import files_of
from deepsim_tf.files import remove_leftovers, versions, written_aside
from deepsim_tf.formats import result_suffix, write_image
from deepsim_tf.inference.affine_file import write_affine
from deepsim_tf.inference.field import write_field
from deepsim_tf.inference.geometry import ALIGN
from deepsim_tf.inference.image_files import source_of
from deepsim_tf.inference.pair import register_pair
from deepsim_tf.inference.picture import save_picture
from deepsim_tf.intensity.rules import parse_rule
from deepsim_tf.registration.loading import open_solver
from deepsim_tf.registration.solver import Solver

REPORT = "registration.json"  # the last file of a folder to be written, and the sign that it is whole


def register_files(model, moving, fixed, out, *, refine=0, align="headers", intensity=None, warn=None):
    """Register one image file to another, wherever they lie, and write a folder.

    Both are brought to the model's grid through their headers: NIfTI and MGZ of any size, voxel size, orientation and
    obliqueness (see `ds.inference.place`); TIFF, PNG and npy as `ds.register` does. The folder appears as a whole, when
    everything is done, with

    * `warped.*`: the moving image in its own intensities, float32, on the fixed image's grid and with its header:
      NIfTI, MGZ, TIFF (also for PNG, which holds no floats) or npy; several channels as NIfTI or npy;
    * `flow.nii.gz`: the displacement field, mm, for ANTs, ITK and 3-D Slicer;
    * `inverse_flow.nii.gz` and `affine.txt`: where the solver finds them, as `PairwiseOptimizer` does: the displacement
      from the moving into the fixed image, and the affine part as a transform of ITK, from fixed to moving points;
    * `log_jacobian.*`: the logarithm of det J, -20.7 where the field folds;
    * `similarity_map.*`: where the model was trained with DeepSim;
    * `overview.png`: before and after; `registration.json`: the numbers.

    Args:
        model: a registration model; a run folder, a `.keras` file, or an `.h5` file of VoxelMorph; a
            `ds.PairwiseOptimizer`, which needs no training; or whatever else `ds.register` takes.
        moving, fixed: paths of images; of an image whose channels are files of their own, all of them,
            "t1.nii.gz;t2.nii.gz".
        out: the folder to write; it may not exist, or be empty.
        refine: steps of instance refinement after the network, 0 for none.
        align: `"headers"`, or `"centres"`: the moving image is first moved so that both fields of view have one centre.
        intensity: the rule for both files; default: the model's own ("minmax" for VoxelMorph's files).
        warn: called with each sentence about doubtful input; default: `warnings.warn`.

    Returns:
        dict, the content of registration.json.

    Raises:
        ValueError: a folder that holds something; files that cannot be read or do not go together.
    """
    check_free(out)
    check_options(align, intensity)
    for named in (moving, fixed):  # a wrong name shows before a model is loaded
        source_of(named)
    started = time.perf_counter()
    opened = open_solver(model)
    loading = time.perf_counter() - started
    settings = settings_of(model, moving, fixed, refine=refine, align=align, intensity=intensity)
    return write_registration(opened, moving, fixed, out, settings, warn or _warn, loading)


def write_registration(model, moving, fixed, out, settings, warn, loading=0.0):
    """Register with an opened model as `settings_of` says, and write the folder `out`.

    Returns the content of registration.json.
    """
    out, started = Path(out), time.perf_counter() - loading
    found = register_pair(model, moving, fixed, **settings["settings"])
    for sentence in (*found.warnings, *found.doubts):
        warn(sentence)
    report = {**settings, **found.numbers, "warnings": [*found.warnings, *found.doubts]}
    report["doubtful"] = bool(found.doubts)
    remove_leftovers(out)
    with written_aside(out) as aside:
        aside.mkdir()
        report["files"] = _write(found, aside, source_of(moving), source_of(fixed))
        report["versions"] = versions()
        report["seconds"] |= {"loading": round(loading, 3), "all": round(time.perf_counter() - started, 3)}
        (aside / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def settings_of(model, moving, fixed, *, refine, align, intensity):
    """What makes a registration this one and no other; the first entries of registration.json."""
    named = isinstance(model, (str, os.PathLike))
    own = model.describe() if isinstance(model, Solver) else {}
    model = str(Path(model).absolute()) if named else type(model).__name__
    files = {
        name: ";".join(str(path.absolute()) for path in files_of(os.fspath(named)))
        for name, named in (("moving", moving), ("fixed", fixed))
    }
    settings = {"refine": refine, "align": align, "intensity": intensity}
    return {"model": model, **({"solver": own} if own else {}), **files, "settings": settings}


def check_options(align, intensity):
    """Refuse an unknown `align`, or an unknown rule (None is the model's own)."""
    checks.known("align", align, ALIGN)
    if intensity is not None:
        parse_rule(intensity)


def check_free(out):
    """Refuse to write where something is.

    Raises:
        ValueError: `out` is a file, or a folder that is not empty.
    """
    out = Path(out)
    if (out / REPORT).is_file():
        raise ValueError(f"{out} already holds a finished registration. Choose another folder (--out), or remove it.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} exists and is no empty folder. Choose another folder (--out).")


def _write(found, folder, moving, fixed):
    """Write the files of a Registered; {what: file name}."""
    arrays = {"warped": found.warped, "log_jacobian": found.log_jacobian, "similarity_map": found.similarity_map}
    names = {}
    for name, array in arrays.items():
        if array is not None:
            array = array if name == "warped" else array[..., None]
            names[name] = f"{name}{result_suffix(fixed.image, array)}"
            write_image(array, folder / names[name], reference=fixed.image, affine=found.field.affine)
    names |= {"flow": "flow.nii.gz", "picture": "overview.png"}
    write_field(found.field, folder / names["flow"])
    if found.inverse is not None:
        names["inverse_flow"] = "inverse_flow.nii.gz"
        write_field(found.inverse, folder / names["inverse_flow"])
    if found.affine is not None:
        names["affine"] = "affine.txt"
        write_affine(found.affine, folder / names["affine"])
    save_picture(folder / names["picture"], found.images, found.field, title=_title(found.numbers, moving, fixed))
    return names


def _title(numbers, moving, fixed):
    parts = [f"{moving.name} to {fixed.name}"]
    if numbers["similarity"]:
        parts.append("{measure} {before:.4g} before, {after:.4g} after".format(**numbers["similarity"]))
    parts.append("mean displacement {mean:.3g} {unit}".format(**numbers["displacement"]))
    parts.append(f"folds {100 * numbers['folds']:.2g} %")
    return ";  ".join(parts)


def _warn(sentence):
    python_warnings.warn(sentence, stacklevel=3)
