"""What `table.py` measures of PyTorch.

`turns.py` starts it under the peers' Python, one process for each measurement.
"""

import sys
from pathlib import Path

import numpy as np
import paper
import torch
import torch.nn.functional as F

sys.path.append(str(Path(__file__).resolve().parents[1]))
from serve import serve

WEIGHT = 0.1  # of the regulariser, as in package_side.py


def network(case):
    """The network of the case."""
    ndim = len(case["shape"])
    if case["peer"] == "paper":
        return paper.PaperNetwork(ndim, case["features"])
    import pairwise

    return {"equal": pairwise.EqualNetwork, "shipped": pairwise.ShippedNetwork}[case["peer"]](
        ndim, case["features"], case["int_steps"]
    )


def load(modules, path):
    """Fill convolutions and batch norms, in the order in which they run, with package_side.py's weights."""
    with np.load(path) as file:
        arrays = [torch.from_numpy(file[name]) for name in file.files]  # in the order in which they were saved
    layers = [m for m in modules if hasattr(m, "weight")]
    for layer in layers:
        if hasattr(layer, "running_mean"):
            targets, values = (layer.weight, layer.bias, layer.running_mean, layer.running_var), arrays[:4]
        else:  # (*kernel, in, out) -> (out, in, *kernel)
            targets, values = (
                (layer.weight, layer.bias),
                [arrays[0].permute(-1, -2, *range(arrays[0].dim() - 2)), arrays[1]],
            )
        for target, value in zip(targets, values):
            if target.shape != value.shape:
                raise SystemExit(f"not the same network: {tuple(target.shape)} here, {tuple(value.shape)} there")
            target.data.copy_(value)
        del arrays[: len(targets)]
    if arrays:
        raise SystemExit(f"not the same network: {len(arrays)} arrays too many")


def require_equal(case, model, loss, similarity, moving, fixed):
    """End with a message unless parameters, and with equal weights flow and loss, are the package's."""
    count = sum(p.numel() for p in model.parameters())
    if case.get("parameters", count) != count:
        raise SystemExit(f"not the same network: {count} parameters here, {case['parameters']} there")
    if "weights" not in case:
        return
    load([*model.modules(), *(similarity.modules() if hasattr(similarity, "modules") else ())], case["weights"])
    model.eval()
    with torch.inference_mode():
        warped, flow, field = model(moving, fixed)
        here = {"loss": float(loss(fixed, warped, field)), "flow": float(flow.abs().mean())}
    for name, there in case["check"].items():
        if there is not None and abs(here[name] - there) > 1e-3 * abs(there):
            raise SystemExit(
                f"not the same network: the same weights give {name} {here[name]:.7g} here, {there:.7g} there"
            )


def prepare(case):
    """(facts, function to time) of a case, {"peer", "task", "shape", "features", "int_steps", "loss", ..}."""
    torch.manual_seed(0)
    images = np.random.default_rng(0).random((2, 1, *case["shape"], 1), dtype="float32")  # as in package_side.py
    moving, fixed = (torch.from_numpy(image).movedim(-1, 1).contiguous() for image in images)
    model = network(case)
    similarity = {"MSE": F.mse_loss, "NCC": paper.local_ncc}.get(case["loss"]) or paper.DeepSim(
        len(case["shape"]), case["features"]
    )

    def loss(fixed, warped, field):
        return similarity(fixed, warped) + WEIGHT * paper.diffusion(field)

    require_equal(case, model, loss, similarity, moving, fixed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, eps=1e-8)

    def step():
        optimizer.zero_grad()
        warped, _, field = model(moving, fixed)
        value = loss(fixed, warped, field)
        value.backward()
        optimizer.step()
        return value.item()

    def predict():
        with torch.inference_mode():
            return [output.numpy() for output in model(moving, fixed)[:2]]

    model.train(case["task"] == "step")
    facts = {"versions": f"PyTorch {torch.__version__} on {torch.get_num_threads()} threads"}
    return facts, {"step": step, "predict": predict}[case["task"]]


if __name__ == "__main__":
    serve(prepare)
