"""What each trick is worth at the laptop scale: README's table and picture, from the recorded runs.

python benchmarks/laptop_table.py                 # prints the table
python benchmarks/laptop_table.py --figure docs/laptop.png
"""

import argparse
import statistics
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from airbench_lab.study.frames import frame
from airbench_lab.study.statistics import Mean, mean_interval
from matplotlib.figure import Figure

from airbench_core import AIRBENCH94
from airbench_core.recipes import parse_field, with_fields

LOG = Path(__file__).parent / "results" / "laptop-cifar10.jsonl"
REMOVED = {
    "whitening": "whiten=false",
    "identity initialization": "identity_init=false",
    "BatchNorm-bias learning rate × 64": "bias_scale=1",
    "Lookahead": "lookahead=false",
    "alternating flip (random instead)": "flip=random",
}


class Row(NamedTuple):
    """Accuracies in percent; the difference is paired by seed."""

    label: str
    setting: str
    mean: float
    difference: Mean


def table(log: Path = LOG) -> tuple[list[float], list[Row]]:
    """The accuracies of airbench94, and a row for each trick removed from it."""
    groups = {asked: runs.set_index("seed") for asked, runs in frame(log).groupby("asked", sort=False)}
    base = groups[AIRBENCH94]

    def row(label: str, setting: str, without: pd.Series) -> Row:
        return Row(label, setting, 100 * without.mean(), mean_interval(100 * (without - base["accuracy"])))

    rows = [
        row(label, setting, groups[with_fields(AIRBENCH94, **dict([parse_field(setting)]))]["accuracy"])
        for label, setting in REMOVED.items()
    ]
    # TTA is removed from the very same networks.
    rows.append(row("test-time augmentation", "tta=none", base["accuracy_none"]))
    return list(100 * base["accuracy"]), rows


def signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def markdown(base: list[float], rows: list[Row]) -> str:
    lines = [
        "| airbench94 without | `--set` | accuracy | difference | 95 % interval | n |",
        "|---|---|---|---|---|---|",
    ]
    lines.append(f"| *(nothing removed)* | | {statistics.mean(base):.1f} % | | | {len(base)} |")
    for r in rows:
        d = r.difference
        interval = f"{signed(d.low)} to {signed(d.high)}"
        lines.append(f"| {r.label} | `{r.setting}` | {r.mean:.1f} % | {signed(d.mean)} | {interval} | {d.n} |")
    return "\n".join(lines)


def figure(rows: list[Row]) -> Figure:
    picture = Figure(figsize=(7.5, 3.2), layout="constrained", dpi=150)
    axes = picture.subplots()
    labels = [row.label for row in rows][::-1]
    differences = [row.difference for row in rows][::-1]
    means, halves = [d.mean for d in differences], [d.high - d.mean for d in differences]
    axes.barh(labels, means, xerr=halves, color="#4477aa", ecolor="#222222", capsize=3)
    axes.axvline(0, color="#222222", linewidth=0.8)
    picture.supxlabel("test accuracy when removed: change in percentage points, 95 % interval", fontsize=10)
    picture.suptitle(f"airbench94 at the laptop scale, CIFAR-10, {rows[0].difference.n} seeds each", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", type=Path, help="also draw the rows into this file")
    args = parser.parse_args()
    base, rows = table()
    print(markdown(base, rows))
    if args.figure:
        figure(rows).savefig(args.figure)


if __name__ == "__main__":
    main()
