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
from deepsim_tf.metrics.table import heading, text
from deepsim_tf.recipes import DATASETS, LOSSES
from deepsim_tf.training import runs


def table_of(folder):
    """Markdown: the chosen run of each loss, its Dice at equal smoothness, and the paper's Dice."""
    summary = pandas.read_csv(folder / "summary.csv").set_index("method")
    sweep = pandas.read_csv(folder / "sweep.csv")
    chosen = sweep[sweep["chosen"]].set_index("method")
    recipe = runs.read_recipe(next(iter(sorted(folder.glob("*/lambda_*")))))
    unit = DATASETS[recipe.dataset].unit
    published = {loss.title: loss.published.get(recipe.dataset) for loss in LOSSES.values()}
    shown = ["dice", "dice_matched", "folds", "sd_log_jacobian", "hd95"]
    headings = ["method", heading("weight"), *(heading(name, unit) for name in shown), "the paper's Dice"]
    headings[2:4] = ["Dice (95 % interval)", "Dice at equal smoothness"]
    lines = [f"| {' | '.join(headings).replace('log|J|', 'log det J')} |", "|---" * len(headings) + "|"]
    best = summary.drop(index="identity")["dice"].max()
    for method, row in summary.iterrows():
        numbers = {name: text(name, row[name], unit) if pandas.notna(row[name]) else "" for name in shown}
        bold, ends = "**" if row["dice"] == best else "", [text("dice", row[f"dice_{end}"]) for end in ("low", "high")]
        numbers["dice"] = f"{bold}{numbers['dice']}{bold} ({'-'.join(ends)})"
        weight = text("weight", chosen.loc[method, "weight"]) if method in chosen.index else ""
        paper = text("dice", published[method]) if published.get(method) else ""
        lines.append(f"| {' | '.join([method, weight, *numbers.values(), paper])} |")
    extractors = pandas.read_csv(folder / "extractors.csv").to_dict("records")
    quality = [
        f"{row['extractor']}, validation "
        + (f"Dice {row['val_dice']:.3f}" if pandas.notna(row["val_dice"]) else f"loss {row['val_loss']:.2g}")
        for row in extractors
    ]
    updates = recipe.epochs * recipe.steps_per_epoch // recipe.accumulation
    lines += ["", f"{updates} updates with each loss and weight, {len(sweep)} runs."]
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
