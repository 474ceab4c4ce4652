"""Files on the disk to arrays and back: images, their headers, landmarks, tables; each format in one place."""

from deepsim_tf.formats.axes import channel_count
from deepsim_tf.formats.format import Header
from deepsim_tf.formats.landmarks import read_landmarks
from deepsim_tf.formats.nifti import load_nifti
from deepsim_tf.formats.open_files import OpenFiles
from deepsim_tf.formats.reading import read_header, read_volume
from deepsim_tf.formats.registry import FORMATS, suffix_of
from deepsim_tf.formats.tables import read_table
from deepsim_tf.formats.writing import result_suffix, write_image

__all__ = [
    "FORMATS",
    "Header",
    "OpenFiles",
    "channel_count",
    "load_nifti",
    "read_header",
    "read_landmarks",
    "read_table",
    "read_volume",
    "result_suffix",
    "suffix_of",
    "write_image",
]
