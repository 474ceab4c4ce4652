"""Put several reproductions side by side.

A Markdown table of each beside the paper's, and figure 3 with a panel a dataset.

    python train/results.py runs/u373 runs/hippocampus --names PhC-U373,Hippocampus --out docs/results

Reads: the folders of train/reproduce.py (summary.csv, pairs.csv, sweep.csv, extractors.csv, noise.csv).
Writes: tables.md, figure3.png and figure3.pdf; and for each dataset its convergence curves, smoothness and noise
figures, drawn anew.
"""

import argparse
import pathlib

import pandas

from deepsim_tf import figures
from deepsim_tf.training import runs

METHODS = ("MSE", "NCC", "NCC_sup", "NMI", "MIND", "DeepSim_ae", "DeepSim")
PUBLISHED = {  # test Dice: Czolbe et al. 2023; the hippocampus' are read off a figure
    "brain-mri": (0.6662, 0.6574, 0.6678, 0.6649, 0.6566, 0.6708, 0.6754),
    "hippocampus": (0.8013, 0.8221, 0.8299, 0.8182, 0.8225, 0.8117, 0.8174),
    "platelet-em": (0.8935, 0.8754, 0.8879, 0.8892, 0.8796, 0.8950, 0.8947),
    "phc-u373": (0.9653, 0.9650, 0.9686, 0.9655, 0.9652, 0.9674, 0.9679),
}


def table_of(folder):
    """Markdown: the chosen run of each loss, its Dice at equal smoothness, and the paper's Dice."""
    summary = pandas.read_csv(folder / "summary.csv").set_index("method")
    sweep = pandas.read_csv(folder / "sweep.csv")
    chosen = sweep[sweep["chosen"]].set_index("method")
    recipe = runs.read_recipe(next(iter(sorted(folder.glob("*/lambda_*")))))
    published = dict(zip(METHODS, PUBLISHED.get(recipe.dataset, [float("nan")] * len(METHODS)), strict=True))
    unit, scale = ("µm", 1000) if summary["hd95"].max() < 1 else ("mm", 1)  # microscopy
    lines = [
        f"| method | lambda | Dice (95 % interval) | Dice at equal smoothness | folds % | SD log det J | HD95 {unit} |"
        " the paper's Dice |",
        "|---|---|---|---|---|---|---|---|",
    ]
    best = summary.drop(index="identity")["dice"].max()
    for method, row in summary.iterrows():
        dice = f"**{row['dice']:.4f}**" if row["dice"] == best else f"{row['dice']:.4f}"
        cells = [
            method,
            f"{chosen.loc[method, 'weight']:g}" if method in chosen.index else "",
            f"{dice} ({row['dice_low']:.4f}-{row['dice_high']:.4f})",
            f"{row['dice_matched']:.4f}" if pandas.notna(row["dice_matched"]) else "",
            f"{100 * row['folds']:.2f}",
            f"{row['sd_log_jacobian']:.3f}",
            f"{scale * row['hd95']:.3g}",
            f"{published[method]:.4f}" if pandas.notna(published.get(method)) else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    extractors = pandas.read_csv(folder / "extractors.csv").to_dict("records")
    quality = [
        f"{row['extractor']}, validation "
        + (f"Dice {row['val_dice']:.3f}" if pandas.notna(row["val_dice"]) else f"loss {row['val_loss']:.2g}")
        for row in extractors
    ]
    lines += [
        "",
        f"{recipe.epochs * recipe.steps_per_epoch // recipe.accumulation} updates with each loss and weight,"
        f" {len(sweep)} runs.",
    ]
    lines[-1] += f" Extractors ({extractors[0]['updates']} updates): {'; '.join(quality)}." if extractors else ""
    return "\n".join(lines)


def main():
    """Read the folders, write the tables and figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=pathlib.Path, help="folders of reproductions")
    parser.add_argument("--names", help="of the datasets, separated by commas; default: the folders'")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder to write to")
    arguments = parser.parse_args()
    names = arguments.names.split(",") if arguments.names else [folder.name for folder in arguments.folders]
    if len(names) != len(arguments.folders):
        parser.error(f"--names must name each folder: {len(arguments.folders)} expected, {len(names)} received")
    arguments.out.mkdir(parents=True, exist_ok=True)
    tables, pairs = [], []
    for name, folder in zip(names, arguments.folders, strict=True):
        tables.append(f"## {name}\n\n{table_of(folder)}\n")
        pairs.append(pandas.read_csv(folder / "pairs.csv").assign(dataset=name))
        stem = arguments.out / name.lower().replace(" ", "_")
        chosen = pandas.read_csv(folder / "sweep.csv").query("chosen")
        histories = {
            method: pandas.read_csv(pathlib.Path(run) / "history.csv")
            for method, run in zip(chosen["method"], chosen["run"], strict=True)
        }
        figures.convergence(histories, f"{stem}_convergence")
        figures.smoothness(pandas.read_csv(folder / "sweep.csv"), f"{stem}_smoothness")
        if (folder / "noise.csv").exists():
            figures.noise_robustness(pandas.read_csv(folder / "noise.csv"), f"{stem}_noise")
    figures.dice_boxplot(pandas.concat(pairs), arguments.out / "figure3")
    (arguments.out / "tables.md").write_text("\n".join(tables), encoding="utf-8")
    print(f"Wrote {arguments.out}: tables.md, figure3.png and the figures of each dataset")


if __name__ == "__main__":
    main()
