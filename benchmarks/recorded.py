"""Makes and packs the recorded runs of notebooks/airbench_lab/recorded: what every lesson can show at once.

    python benchmarks/recorded.py commands               the sweeps to be made, each as a command
    python benchmarks/recorded.py pack LOG... [--timed LOG...]

Both take `--folder NAME` for what was made on another machine, or by another version of the code: the accuracy of a
seed is not quite the same there, so runs of two kinds are never compared, and each kind has a folder of its own with
all that its comparisons need.

`pack` takes the runs of each file from the logs that the sweeps wrote, leaves out what can be filled in (a recipe's
defaults), rounds what is only drawn, and writes the files and the tables in their README.md. Seconds are kept of the
runs in --timed logs alone, which were made with nothing else going on. It refuses runs of a changed checkout, and says
which are missing.
"""

import argparse
import io
import json
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from airbench_lab.replay import FOLDER
from airbench_lab.study.frames import hardware
from airbench_lab.study.keys import recipe_of
from airbench_lab.study.studies import axes_from, grid, study_named

from airbench_core import runlog
from airbench_core.cli import main as main_of_airbench
from airbench_core.errors import AirbenchError
from airbench_core.recipes import Recipe
from airbench_core.scales import SCALES

SCALE, DATA = "laptop", "cifar10"

# What is in each file: sweeps, as one writes them, by what they are for.
SINGLE = ("whiten=true,false", "identity_init=true,false", "bias_scale=64,1", "lookahead=true,false")
PUBLISHED = ("airbench94", "airbench94_muon", "airbench95", "airbench96", "airbench96_faster")
FILES = {
    "switches": (
        "airbench94 with one of its tricks off",
        [f"airbench94 --set {axis} --seeds 5" for axis in (*SINGLE, "flip=alternating,random")],
    ),
    "toggles": ("all combinations of airbench94's tricks", ["toggles --seeds 3"]),
    "ladder": ("the ladder, each rung with its published epochs", ["ladder --seeds 5"]),
    "epochs": (
        "accuracy against epochs",
        [
            "airbench94 --set epochs=3,5,7,9.9,14,20,30 --seeds 5",
            "baseline --set epochs=5,9.9,14,20,30,45 --seeds 5",
        ],
    ),
    "ablation": (
        "one trick added to the whitened baseline, one removed from airbench94",
        ["ablation --seeds 5", "ablation --set epochs=7,9.9,14,20 --seeds 3"],
    ),
    "rungs": ("each rung with the same epochs", ["ladder --set epochs=7,9.9,14,20 --seeds 3"]),
    "flip": ("random against alternating flip", ["flip --seeds 5"]),
    "unflipped": ("airbench94 without any flip", ["airbench94 --set flip=none --set epochs=9.9,20 --seeds 5"]),
    "muon": (
        "Muon, and with a single Newton-Schulz step, at two learning rates",
        ["airbench94_muon --seeds 5", "airbench94_muon --set newton_schulz_steps=1 --set lr=0.24,0.5 --seeds 5"],
    ),
    "baseline": (
        "the baseline's own choices, one changed",
        [
            "baseline --set epochs=9.9 --set label_smoothing=0.2,0 --seeds 5",
            "baseline --set epochs=9.9 --set momentum=0.5 --seeds 5",
            "baseline --set epochs=9.9 --set lr_start=1 --set lr_peak_at=0 --set lr_end=1 --seeds 5",
        ],
    ),
}

# The same of what has a folder of its own, by its name: another machine, or a version with slower kernels.
ELSEWHERE = {
    "recipes": {
        "recipes": (
            "every published recipe, and the baseline with airbench94's epochs",
            [
                "baseline --seeds 5",
                "baseline --set epochs=9.9 --seeds 5",
                *(f"{name} --seeds 5" for name in PUBLISHED),
                "resnet18 --seeds 2",
            ],
        ),
    },
    "epyc": {
        "lookahead": (
            "airbench94 with and without Lookahead, with two BatchNorm momenta",
            ["airbench94 --set lookahead=true,false --set batchnorm_momentum=0.6,0.9 --seeds 5"],
        ),
    },
}

Files = Mapping[str, tuple[str, list[str]]]
Record = Mapping[str, Any]


def files_of(folder: str) -> Files:
    return ELSEWHERE[folder] if folder else FILES


def mark(folder: str) -> str:
    """What stands above the table of a folder's files."""
    return f"<!-- table: benchmarks/recorded.py{f' {folder}' if folder else ''} -->\n"


def wanted(sweep: str) -> Iterator[tuple[Recipe, int]]:
    """What tells each run of a sweep from the others of one data set: its recipe and its seed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("study")
    parser.add_argument("--set", action="append", default=[], dest="axes")
    parser.add_argument("--seeds", type=int)
    args = parser.parse_args(shlex.split(sweep))
    for seed in range(args.seeds):
        for variant in grid(study_named(args.study).variants(), axes_from(args.axes)):
            if not variant.compile:
                yield SCALES[SCALE].recipe(variant.recipe), seed


def identity(record: Record) -> tuple[Recipe, int]:
    return recipe_of(record["recipe"]), record["seed"]


def pool(logs: Iterable[Path], timed: Iterable[Path]) -> dict[tuple[Recipe, int], Record]:
    """The recipes' runs in all logs; of those of one recipe and seed, that which may be quoted."""
    found: dict[tuple[Recipe, int], Record] = {}
    for quoted, some in ((False, logs), (True, timed)):
        for record in (record for log in some for record in runlog.load(log)):
            if (record["scale"], record["data"]["name"]) == (SCALE, DATA) and not record.get("parts"):
                found[identity(record)] = record if quoted else runlog.untimed(record)
    return found


def packed(record: Record) -> Record:
    """The record without what `runlog.load` fills in, and with losses and times to be drawn, not computed with."""

    def rounded(epoch: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value if value is None else round(value, 4) for name, value in epoch.items()}

    seconds = None if record["seconds"] is None else round(record["seconds"], 2)
    epochs = [rounded(epoch) for epoch in record["epochs"]]
    recipes = {name: recipe_of(record[name]).changes() for name in ("asked", "recipe")}
    return {**record, **recipes, "epochs": epochs, "seconds": seconds}


def select(name: str, sweeps: Iterable[str], runs: Mapping[tuple[Recipe, int], Record]) -> list[Record]:
    """The runs of a file, each once. Raises AirbenchError for missing ones, and for what should not be published."""
    needed = dict.fromkeys(one for sweep in sweeps for one in wanted(sweep))
    if missing := [one for one in needed if one not in runs]:
        raise AirbenchError(f"{name}: {len(missing)} of {len(needed)} runs are missing, such as {missing[0]}")
    records = [runs[one] for one in needed]
    if changed := [one for one in records if (one["versions"]["commit"] or "+").endswith("+")]:
        raise AirbenchError(f"{name}: {len(changed)} runs were made by a changed checkout")
    return records


def table(files: Mapping[str, list[Record]], folder: str = "") -> str:
    """The Markdown table of what is recorded in a folder."""
    lines = ["| file | what | made by `airbench sweep` | runs | seconds | commit |", "|---|---|---|---|---|---|"]
    for name, records in files.items():
        what, sweeps = files_of(folder)[name]
        timed = sum(record["seconds"] is not None for record in records)
        quoted = "yes" if timed == len(records) else f"of {timed}" if timed else "no"
        commits = ", ".join(sorted({f"`{record['versions']['commit'][:7]}`" for record in records}))
        commands = "<br>".join(f"`{sweep}`" for sweep in sweeps)
        path = Path(folder, f"{SCALE}-{name}.jsonl")
        lines.append(f"| {path} | {what} | {commands} | {len(records)} | {quoted} | {commits} |")
    return "\n".join(lines) + "\n"


def made_on(records: Iterable[Record]) -> str:
    """What made the records, which must be one kind of machine and one version. Raises AirbenchError if it is not."""
    kinds = {f"{hardware(one['runtime'])}, torch {one['versions']['torch']}" for one in records}
    if len(kinds) > 1:
        raise AirbenchError(f"runs of several kinds: {'; '.join(sorted(kinds))}")
    return kinds.pop()


def filled(page: str, files: str, folder: str = "") -> str:
    """The page with the table of the files after its mark, and after each comment with a report what that prints."""
    page = re.sub(f"({re.escape(mark(folder))})(\\|.*\n)*", lambda found: found[1] + files, page)
    return re.sub(r"(<!-- airbench (report .*) -->\n)(\|.*\n)*", lambda found: found[1] + report(found[2]), page)


def report(command: str) -> str:
    """What `airbench COMMAND --format markdown` prints in the folder of the recorded runs."""
    words = [str(FOLDER / word) if word.endswith(".jsonl") else word for word in shlex.split(command)]
    with redirect_stdout(io.StringIO()) as out:
        if main_of_airbench([*words, "--format", "markdown"]):
            raise AirbenchError(f"airbench {command} failed")
    return out.getvalue()


def pack(logs: list[Path], timed: list[Path], folder: str = "") -> None:
    runs = pool(logs, timed)
    files = {name: select(name, sweeps, runs) for name, (_, sweeps) in files_of(folder).items()}
    made = made_on(record for records in files.values() for record in records)
    for name, records in files.items():
        text = "".join(json.dumps(packed(record)) + "\n" for record in records)
        path = FOLDER / folder / f"{SCALE}-{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    readme = FOLDER / "README.md"
    readme.write_text(filled(readme.read_text(), table(files, folder), folder))
    print(f"{sum(map(len, files.values()))} runs in {len(files)} files: {made}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    asking, packing = verbs.add_parser("commands"), verbs.add_parser("pack")
    for verb in asking, packing:
        verb.add_argument("--folder", choices=sorted(ELSEWHERE), default="")
    packing.add_argument("logs", type=Path, nargs="+", metavar="LOG")
    packing.add_argument("--timed", type=Path, nargs="*", default=[], metavar="LOG")
    args = parser.parse_args()
    if args.verb == "commands":
        for _, sweeps in files_of(args.folder).values():
            for sweep in sweeps:
                print(f"airbench sweep {sweep} --scale {SCALE} --data {DATA} --out recorded.jsonl")
        return 0
    try:
        pack(args.logs, args.timed, args.folder)
    except AirbenchError as error:
        print(f"recorded.py: error: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
