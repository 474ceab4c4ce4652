"""Train one loss with several weights of the regulariser, and measure each on the validation pairs.

    python train/sweep.py --dataset phc-u373 --data DIR --loss ncc --factors 0.25,1,4 --out runs/phc-u373/ncc-sweep

Data: as for train/train_segmentation.py.
Time: as many trainings as there are weights, preset cpu about 10 minutes each on two cores. Expect the best Dice at a
weight between two others; where it is at an end, the sweep goes on beyond it.
Writes: lambda_WEIGHT/ (run folders) and sweep.csv. The same command continues where it was killed. It takes every
option of the command `deepsim sweep`.
"""

from deepsim_tf import studies
from deepsim_tf.cli import script


@script("sweep", __doc__)
def main(dataset, preset, loss, out, **arguments):
    """One call; the chosen weight is that of the highest validation Dice."""
    table = studies.sweep(dataset, preset, loss, out, **arguments)
    print(table.drop(columns="run").to_string(index=False))
    print(f"Chosen: {table.loc[table['chosen'], 'weight'].item():g}")


if __name__ == "__main__":
    main()
