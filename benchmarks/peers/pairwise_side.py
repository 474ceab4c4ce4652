"""One pair of arrays with ANTs or elastix: `pairwise_side.py METHOD FOLDER` reads pair.npz and writes flow.npy."""

import json
import sys
import time
from pathlib import Path

import numpy as np


def ants_flow(moving, fixed, method):
    """The displacement of ANTs' `method` in voxels, (*spatial, ndim), and its seconds."""
    import ants

    images = [ants.from_numpy(np.asarray(image, np.float32)) for image in (moving, fixed)]
    started = time.perf_counter()
    kind, _, metric = method.partition("-")  # "SyNOnly-CC": cross-correlation down to full size, instead of defaults
    more = {"syn_metric": "CC", "syn_sampling": 4, "reg_iterations": (100, 50, 20)} if metric == "CC" else {}
    found = ants.registration(moving=images[0], fixed=images[1], type_of_transform=kind, **more)
    seconds = time.perf_counter() - started
    points = np.stack(np.meshgrid(*[np.arange(n) for n in fixed.shape], indexing="ij"), -1).reshape(-1, fixed.ndim)
    # Where each fixed point lies in the moving image: one transform of points, whatever the chain.
    import pandas

    names = ["x", "y", "z"][: fixed.ndim]
    frame = pandas.DataFrame(points.astype(float), columns=names)  # ANTs' arrays have ITK's x first
    sent = ants.apply_transforms_to_points(fixed.ndim, frame, found["fwdtransforms"])[names].to_numpy()
    return (sent - points).reshape(*fixed.shape, fixed.ndim), seconds


def elastix_flow(moving, fixed):
    """The displacement of elastix with its "bspline" parameters."""
    import itk

    images = [itk.image_from_array(np.ascontiguousarray(image, np.float32)) for image in (moving, fixed)]
    parameters = itk.ParameterObject.New()
    parameters.AddParameterMap(parameters.GetDefaultParameterMap("bspline"))
    started = time.perf_counter()
    _, transform = itk.elastix_registration_method(images[1], images[0], parameter_object=parameters)
    seconds = time.perf_counter() - started
    field = itk.array_from_image(itk.transformix_deformation_field(images[0], transform))
    return field[..., ::-1], seconds  # ITK's x is the last axis


def main():
    """Register, and print the seconds."""
    method, folder = sys.argv[1], Path(sys.argv[2])
    pair = np.load(folder / "pair.npz")
    flow, seconds = (
        elastix_flow(pair["moving"], pair["fixed"])
        if method == "elastix"
        else ants_flow(pair["moving"], pair["fixed"], method)
    )
    np.save(folder / "flow.npy", flow.astype(np.float32))
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
