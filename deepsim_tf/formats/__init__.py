"""Files on the disk to arrays and back: images, their headers, landmarks, tables; each format in one place."""

from deepsim_tf.formats.landmarks import read_landmarks
from deepsim_tf.formats.reading import Header, nibabel_image, read_header, read_volume
from deepsim_tf.formats.tables import read_table
from deepsim_tf.formats.writing import result_suffix, suffix_of, write_image

__all__ = [
    "Header",
    "nibabel_image",
    "read_header",
    "read_landmarks",
    "read_table",
    "read_volume",
    "result_suffix",
    "suffix_of",
    "write_image",
]
