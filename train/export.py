"""Write a registration run for TensorFlow Serving.

    python train/export.py runs/phc-u373/deepsim served/u373

Time: some seconds.
Writes: the next free version of the folder, as in served/u373/1, with the model's intensity rule and grid inside
(docs/serving.md). The command `deepsim export` does the same.
"""

import argparse

import deepsim_tf as ds

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("run", help="run folder of train/register.py, a .keras file, or an .h5 file of VoxelMorph")
parser.add_argument("out", help="folder of the served model; its versions are numbered")
parser.add_argument("--format", default="tensorflow", help="tensorflow (SavedModel) or onnx")
arguments = parser.parse_args()

print(f"Wrote {ds.export(arguments.run, arguments.out, format=arguments.format)}")
