"""Every recipe at the laptop scale: the table of benchmarks/README.md and its picture, from the recorded runs.

python benchmarks/recipes_table.py                 # prints the table
python benchmarks/recipes_table.py --figure recipes.png
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from airbench_lab import replay
from airbench_lab.flops import training_flops
from airbench_lab.study.frames import frame
from airbench_lab.study.statistics import Mean, mean_interval
from matplotlib.figure import Figure

from airbench_core import BASELINE, RECIPES, SCALES

LOG = replay.FOLDER / "recipes" / "laptop-recipes.jsonl"
LAPTOP = SCALES["laptop"]
SHOWN = {"baseline": BASELINE, "baseline, epochs=9.9": replace(BASELINE, epochs=9.9)} | RECIPES


class Row(NamedTuple):
    """A recipe's runs at the laptop scale; accuracy in percent."""

    name: str
    steps: int
    flops: float
    accuracy: Mean
    seconds: float  # median


def table(log: Path = LOG) -> list[Row]:
    groups, rows = dict(list(frame(log).groupby("asked", sort=False))), []
    for name, recipe in SHOWN.items():
        runs, scaled = groups[recipe], LAPTOP.recipe(recipe)
        rows.append(
            Row(
                name=name,
                steps=scaled.steps(LAPTOP.train_images),
                flops=training_flops(scaled, LAPTOP.train_images, LAPTOP.test_images),
                accuracy=mean_interval(100 * runs["accuracy"]),
                seconds=runs["seconds"].median(),
            )
        )
    return rows


def markdown(rows: list[Row]) -> str:
    lines = ["| recipe | steps | TFLOPs | accuracy | 95 % interval | n | seconds |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        a = row.accuracy
        lines.append(
            f"| {row.name} | {row.steps:,} | {row.flops / 1e12:,.1f} | {a.mean:.1f} % | {a.low:.1f} to {a.high:.1f} "
            f"| {a.n} | {row.seconds:,.0f} |"
        )
    return "\n".join(lines)


def figure(rows: list[Row]) -> Figure:
    picture = Figure(figsize=(7.5, 4), layout="constrained", dpi=150)
    axes = picture.subplots()
    for row in rows:
        a = row.accuracy
        axes.errorbar(
            row.flops / 1e12, a.mean, yerr=[[a.mean - a.low], [a.high - a.mean]], fmt="o", color="#4477aa", capsize=3
        )
        axes.annotate(row.name, (row.flops / 1e12, a.mean), xytext=(7, -11), textcoords="offset points", fontsize=9)
    axes.set(xscale="log", xlabel="TFLOPs of a run", ylabel="test accuracy, %")
    axes.xaxis.set_major_formatter("{x:g}")
    low, high = axes.get_xlim()
    axes.set_xlim(low, 3 * high)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    picture.suptitle("Every recipe at the laptop scale, CIFAR-10: mean and 95 % interval", fontsize=11)
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", type=Path, help="also draw the rows into this file")
    args = parser.parse_args()
    rows = table()
    print(markdown(rows))
    if args.figure:
        figure(rows).savefig(args.figure)


if __name__ == "__main__":
    main()
