"""Using a registration model on the user's own files: register, refine, warp, compose and invert flows, in batches.

Arrays: `register`, `warp_image`, `warp_labels`, voxel by voxel. Files: `register_files`, `register_pairs`, `warp_file`,
`compose_files`, `invert_file`, through the headers' positions in the world. In between: `Field`, a displacement in
millimetres.
"""

from deepsim_tf.inference.apply import InverseReport, compose, inverse_report, invert, warp_array
from deepsim_tf.inference.arrays import register, warp_image, warp_labels
from deepsim_tf.inference.batch import register_pairs
from deepsim_tf.inference.field import Field, read_field, write_field
from deepsim_tf.inference.files import register_files
from deepsim_tf.inference.flow_files import compose_files, invert_file, warp_file
from deepsim_tf.inference.geometry import Geometry, place
from deepsim_tf.inference.pair import Registered, register_pair
from deepsim_tf.inference.series import register_series
from deepsim_tf.registration.loading import open_solver
from deepsim_tf.registration.refined import Refined, refine_flow

__all__ = [
    "Field",
    "Geometry",
    "InverseReport",
    "Refined",
    "Registered",
    "compose",
    "compose_files",
    "inverse_report",
    "invert",
    "invert_file",
    "open_solver",
    "place",
    "read_field",
    "refine_flow",
    "register",
    "register_files",
    "register_pair",
    "register_pairs",
    "register_series",
    "warp_array",
    "warp_file",
    "warp_image",
    "warp_labels",
    "write_field",
]
