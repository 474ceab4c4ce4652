"""The 24 brain classes of the DeepSim papers, and the FreeSurfer ids that go into each."""

import numpy as np

CINGULATE = [hemisphere + area for hemisphere in (1000, 2000) for area in (2, 10, 23, 26)]
CORTEX = [hemisphere + area for hemisphere in (1000, 2000) for area in range(36)]

# Class k is entry k: (name, ids of FreeSurferColorLUT.txt), left and right merged. The names are the authors'; which
# ids they put into each class is not published, so the ids are ours. Every id that is not here is background.
CLASSES = (
    ("background", []),
    ("cerebral grey matter", [3, 42, *(number for number in CORTEX if number not in CINGULATE)]),
    ("cerebral white matter", [2, 41, *range(251, 256)]),  # 251-255: corpus callosum
    ("lateral ventricle", [4, 43]),
    ("inferior lateral ventricle", [5, 44]),
    ("cerebellum white matter", [7, 46]),
    ("cerebellum cortex", [8, 47]),
    ("thalamus", [10, 49]),
    ("caudate", [11, 50]),
    ("putamen", [12, 51]),
    ("pallidum", [13, 52]),
    ("3rd ventricle", [14]),
    ("4th ventricle", [15]),
    ("brain stem", [16]),
    ("hippocampus", [17, 53]),
    ("amygdala", [18, 54]),
    ("CSF", [24]),
    ("accumbens area", [26, 58]),
    ("ventral DC", [28, 60]),
    ("vessel", [30, 62]),
    ("choroid plexus", [31, 63]),
    ("5th ventricle", [72]),
    ("cingulate cortex", CINGULATE),  # in aparc+aseg.mgz only; aseg.mgz has these voxels in 3 and 42
    ("WM hypointensities", [77, 78, 79]),
)

_OTHER = 1 + max(number for _, ids in CLASSES for number in ids)  # the table's last entry: background
_TABLE = np.zeros(_OTHER + 1, np.uint8)
for _class, (_, _ids) in enumerate(CLASSES):
    _TABLE[_ids] = _class


def merge_ids(ids):
    """FreeSurfer ids to the 24 brain classes.

    Args:
        ids: integer array of any shape, such as the voxels of aparc+aseg.mgz.

    Returns:
        Array of the same shape, uint8: 0 (background, and every unknown id) to 23, as in `CLASSES`.

    Example:
        >>> merge_ids(np.array([17, 53, 2002, 2003, 85]))
        array([14, 14, 22,  1,  0], dtype=uint8)
    """
    return _TABLE[np.where((ids < 0) | (ids > _OTHER), _OTHER, ids)]
