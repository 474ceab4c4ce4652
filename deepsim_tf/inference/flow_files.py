"""Stored flows: warp an image or labels with one, compose two, invert one."""

from pathlib import Path

from deepsim_tf.files import written_aside
from deepsim_tf.formats import read_header, read_volume, suffix_of, write_image
from deepsim_tf.grids.world import is_world, world_affine
from deepsim_tf.inference.apply import check_world, compose, in_dtype, inverse_report, invert, warp_array
from deepsim_tf.inference.field import read_field, write_field


def warp_file(flow, image, out, *, labels=False):
    """Warp an image with a stored flow, onto the flow's grid: that of the fixed image.

    Args:
        flow: NIfTI displacement field of this package, ANTs or ITK, see `read_field`.
        image: NIfTI, MGZ, TIFF, PNG or npy, of the moving image's space: the moving image, its labels, another channel.
        out: file to write; its ending says the format. The dtype is that of `image`, if the format has it.
        labels: nearest voxel instead of linear interpolation, so that no new values arise.

    Raises:
        ValueError: files that cannot be read or do not go together, an `out` that exists.
    """
    suffix_of(out, written=True)
    _check_new(out)
    kind = "labels" if labels else "image"
    field, header = read_field(flow), read_header(image, kind=kind)
    if len(header.shape) != field.ndim:
        raise ValueError(
            f"{image} is {len(header.shape)}-D, and {flow} a flow of {field.ndim}-D images. Expected one dimension."
        )
    check_world(field, is_world(header), image)
    array = read_volume(image, kind=kind)
    warped = in_dtype(warp_array(array, world_affine(header, image), field, labels=labels), array.dtype)
    with written_aside(out) as aside:
        write_image(warped[..., None] if labels else warped, aside, affine=field.affine)


def compose_files(first, second, out):
    """Write the flow that warps as `first` does, and then `second`: A to B and B to C give A to C, on the grid of C.

    Raises:
        ValueError: files that are no flows or do not go together, an `out` that exists or is no .nii.gz.
    """
    _check_flow_name(out)
    composed = compose(read_field(first), read_field(second))
    with written_aside(out) as aside:
        write_field(composed, aside)


def invert_file(flow, out, *, like=None):
    """Write the inverse of a flow.

    Args:
        flow: the flow's file.
        out: file to write, .nii.gz.
        like: image whose grid the inverse gets, normally the moving one. Default: the grid of the flow.

    Returns:
        InverseReport: how well it was found, and whether there is an inverse everywhere.

    Raises:
        ValueError: files that cannot be read or do not go together, an `out` that exists or is no .nii.gz.
    """
    _check_flow_name(out)
    field, grid = read_field(flow), {}
    if like is not None:
        header = read_header(like)
        check_world(field, is_world(header), like)
        grid = {"shape": header.shape, "affine": world_affine(header, like)}
    inverse, residual = invert(field, **grid)
    with written_aside(out) as aside:
        write_field(inverse, aside)
    return inverse_report(field, residual)


def _check_flow_name(out):
    if not str(out).endswith((".nii.gz", ".nii")):
        raise ValueError(f"Cannot write a flow to {out}: expected a name that ends in .nii.gz.")
    _check_new(out)


def _check_new(out):
    if Path(out).exists():
        raise ValueError(f"{out} exists already. Choose another name (--out), or remove it.")
