"""Register your own image files, with a trained model or without one: one pair, or all pairs of a CSV file.

    python train/register.py --model runs/phc-u373/deepsim --moving a.tif --fixed b.tif --out registered

Data: two images as NIfTI, MGZ, TIFF, PNG, npy or npz, of any size, or a CSV file with the columns moving and fixed.
Without --model the loss is minimised on the pair itself.
Time: seconds a pair; without a model tens of seconds for large ones. Expect a smaller difference after registration
than before: both are printed.
Writes: the warped image with the fixed image's header, flow.nii.gz (mm), the log-Jacobian, the similarity map,
overview.png and registration.json; with --pairs one such folder a pair, and summary.csv. It takes every option of the
command `deepsim register`.
"""

from deepsim_tf import inference
from deepsim_tf.cli import script
from deepsim_tf.cli.pairwise import solver_of


@script("register", __doc__)
def main(model, moving, fixed, pairs, out, verbose, refine, align, intensity, **pairwise):
    """One call for a pair, one for a table of pairs."""
    solver = solver_of(model, pairwise)  # the model's path, or a ds.PairwiseOptimizer of the other options
    options = {"refine": refine, "align": align, "intensity": intensity}
    if pairs is not None:
        table = inference.register_pairs(solver, pairs, out, **options, verbose=verbose)
        print(table.to_string(index=False))
        return
    report = inference.register_files(solver, moving, fixed, out, **options, warn=print)
    # In Python, `ds.register(solver, moving, fixed)` gives the same as arrays: warped, flow, similarity_map.
    print(f"Similarity: {report['similarity']}")
    print(f"Displacement: {report['displacement']}; folds {report['folds']:.2%}")
    print(f"Wrote {out}: {', '.join(report['files'].values())}")


if __name__ == "__main__":
    main()
