"""FreeSurfer subjects for the tests: blobs at known places of the common space, on an oblique grid."""

import nibabel as nib
import numpy as np
import pandas as pd

from deepsim_tf.data.freesurfer.prepare import prepare_brain_mri
from deepsim_tf.data.sets.brain_mri import IMAGE, LABELS

MATRIX = np.array(
    [[1.05, 0.04, -0.02, 3], [-0.03, 1.1, 0.06, -7], [0.05, -0.08, 1.15, 11], [0, 0, 0, 1]]
)  # scanner -> MNI305
# Voxels of 2.6 x 3.1 x 3.4 mm, 12 degrees oblique, first axis to the left, second down, third forward.
COS, SIN = np.cos(0.2), np.sin(0.2)
OBLIQUE = np.array([[-2.6 * COS, 0, 3.4 * SIN, 65], [2.6 * SIN, 0, 3.4 * COS, -85], [0, -3.1, 0, 75], [0, 0, 0, 1]])
LANDMARKS = {17: (35, 20, 30), 10: (-40, -50, 10), 16: (5, -30, -45), 2002: (-20, 40, 45)}  # id: MNI305 RAS, mm
COARSE = (
    (20, 24, 28),
    np.array([[-8, 0, 0, 80], [0, 0, 8, -128], [0, -8, 0, 98], [0, 0, 0, 1.0]]),
)  # the same space at 8 mm


def xfm(matrix, header="MNI Transform File\n% by avi2talxfm\n\nTransform_Type = Linear;\n"):
    return (
        header + "Linear_Transform =\n" + "\n".join(" ".join(map(str, row)) for row in np.asarray(matrix)[:3]) + ";\n"
    )


def scene():
    """Blobs at the landmarks, sampled on the oblique grid.

    The image (sigma 6 mm) and spheres of labels (radius 12 mm).
    """
    shape = 50, 48, 46
    world = np.moveaxis(np.indices(shape), 0, -1) @ (MATRIX @ OBLIQUE)[:3, :3].T + (MATRIX @ OBLIQUE)[:3, 3]
    image, ids = np.zeros(shape), np.zeros(shape, np.int32)
    for number, landmark in LANDMARKS.items():
        squares = np.sum((world - landmark) ** 2, axis=-1)
        image, ids[squares < 144] = image + 200 * np.exp(-squares / 72), number
    return image.astype(np.uint8), ids


SCENE = scene()


def write_subject(
    root,
    name,
    image=SCENE[0],
    ids=SCENE[1],
    *,
    affine=OBLIQUE,
    ids_affine=None,
    transform=None,
    files=("norm", "aparc+aseg"),
):
    (root / name / "mri" / "transforms").mkdir(parents=True)
    for file, array, its_affine in zip(
        files, (image, ids), (affine, affine if ids_affine is None else ids_affine), strict=True
    ):
        if array is not None:
            nib.save(nib.MGHImage(array, its_affine), root / name / "mri" / f"{file}.mgz")
    text = xfm(MATRIX) if transform is None else transform
    (root / name / "mri" / "transforms" / "talairach.xfm").write_text(text)
    return root / name / "mri"


def prepare(root, out=None, **arguments):
    return prepare_brain_mri(root, root.parent / "out" if out is None else out, verbose=0, **arguments)


def read(folder):
    return [nib.load(folder / name) for name in (IMAGE, LABELS)]


def splits(out):
    table = pd.read_csv(out / "metadata.csv", dtype=str)
    assert list(table.columns) == ["subject_id", "SPLIT"]
    return dict(zip(table["subject_id"], table["SPLIT"], strict=True))
