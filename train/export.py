"""Write a registration run for TensorFlow Serving.

    python train/export.py --model runs/phc-u373/deepsim --out served/u373

Data: none.
Time: some seconds. Expect the served model to give the numbers of `ds.register` (docs/serving.md).
Writes: the next free version of the folder, as in served/u373/1, with the model's intensity rule and grid inside. It
takes every option of the command `deepsim export`.
"""

import deepsim_tf as ds
from deepsim_tf.cli import script


@script("export", __doc__)
def main(model, out, format):
    """One call."""
    print(f"Wrote {ds.export(model, out, format=format)}")


if __name__ == "__main__":
    main()
