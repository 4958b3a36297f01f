"""Makes and packs the recorded runs of notebooks/airbench_lab/recorded: what every lesson can show at once.

    python benchmarks/recorded.py make FILE... --out FOLDER    run their sweeps; started again it goes on
    python benchmarks/recorded.py commands FILE...             these sweeps, each as a command
    python benchmarks/recorded.py pack FILE... --logs LOG... [--timed LOG...]
    python benchmarks/recorded.py pictures                     draw those of docs/ that show what is packed

FILE: a name of FILES, or its beginning: `quarter` means all that begin with quarter-; none means all. A file's name
begins with the scale. The accuracy of a seed is not quite the same on another machine, so what a file holds was all
made by one kind, and runs of two are never compared.

`pack` takes the runs of each file from the logs that the sweeps wrote, leaves out what can be filled in (a recipe's
defaults), rounds what is only drawn, and writes the files and the tables in their README.md. Of a file that is not
complete yet it takes the seeds of which each recipe has its run. Seconds are kept of the runs in --timed logs alone,
which were made with nothing else going on. It refuses runs of a changed checkout.
"""

import argparse
import io
import json
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from itertools import product
from pathlib import Path
from typing import Any

from airbench_lab import runlog
from airbench_lab.cli import main as main_of_airbench
from airbench_lab.figures.drawing import Drawing, fewer_colours, png
from airbench_lab.figures.ladder import ladder
from airbench_lab.lessons import regimes
from airbench_lab.panel.controls import STEPS
from airbench_lab.replay import FOLDER, lookup
from airbench_lab.study.frames import hardware
from airbench_lab.study.keys import recipe_of
from airbench_lab.study.ladder import LADDER
from airbench_lab.study.settings import brief
from airbench_lab.study.studies import axes_from, grid, study_named

from airbench_core.errors import AirbenchError, UsageError
from airbench_core.recipes import Recipe
from airbench_core.scales import SCALES

DATA, DOCS = "cifar10", Path(__file__).parents[1] / "docs"


def steps(name: str) -> str:
    """All positions of a field's slider, as a setting of a sweep."""
    return f"{name}={','.join(map(brief, STEPS[name]))}"


# What is in each file: sweeps, as one writes them, by what they are for.
FILES = {
    "laptop-regimes": (
        "for each trick the trainings in which it shows",
        ["regimes --seeds 5", "regimes --seed 5 --seeds 45 --race"],
    ),
    "laptop-flips": (
        "flips of each kind, alone and beside translation",
        ["airbench94 --set translate=0,2 --set flip=none,random,alternating --seeds 10"],
    ),
    "laptop-positions": (
        "what the lessons' sliders and lists can show",
        [
            *(
                f"airbench94 --set {steps(name)} --seeds 5"
                for name in ("whiten_eps", "whiten_bias_epochs", "bias_scale")
            ),
            *(f"airbench94 --set {steps(name)} --seeds 5" for name in ("translate", "cutout", "depth")),
            *(f"baseline --set epochs=9.9 --set {steps(name)} --seeds 5" for name in ("label_smoothing", "momentum")),
            f"baseline --set epochs=9.9 --set {steps('lr_peak_at')} --seeds 5",
            *(f"airbench94_muon --set {steps(name)} --seeds 5" for name in ("newton_schulz_steps", "muon_momentum")),
        ],
    ),
    "laptop-lookahead": (
        "Lookahead, the end of the schedule and the BatchNorm momentum, in all combinations",
        [
            f"airbench94 --set epochs=5 --set lookahead=true,false --set {steps('lr_end')} "
            f"--set {steps('batchnorm_momentum')} --seeds 5"
        ],
    ),
    "laptop-longer": (
        "flips of each kind, in fewer and more epochs",
        ["airbench94 --set translate=0,2 --set flip=none,random,alternating --set epochs=5,20 --seeds 5"],
    ),
    "laptop-identity": (
        "airbench94 without identity initialization, and a second change",
        [
            *(
                f"airbench94 --set identity_init=false --set {also} --seeds 10"
                for also in ("bias_scale=1", "translate=0")
            ),
            "airbench94 --set identity_init=false --set bias_scale=4,16,256 --seeds 2",
        ],
    ),
    "laptop-ladder": ("the ladder, each rung with its published epochs", ["ladder --seeds 5"]),
    "laptop-epochs": (
        "accuracy against epochs",
        ["airbench94 --set epochs=5,7,9.9,14,20 --seeds 5", "baseline --set epochs=9.9,14,20,30,45 --seeds 5"],
    ),
    "laptop-switches": (
        "airbench94 with one of its tricks off, the others on",
        ["airbench94 --set lookahead=true,false --seeds 10", "airbench94 --set flip=alternating,random --seeds 10"],
    ),
    "laptop-toggles": ("all combinations of airbench94's tricks", ["toggles --seeds 3"]),
    "laptop-ablation": (
        "one trick added to the whitened baseline, one removed from airbench94",
        ["ablation --seeds 5"],
    ),
    "laptop-muon": (
        "Muon with a single Newton-Schulz step, at two learning rates",
        ["airbench94_muon --set newton_schulz_steps=1 --set lr=0.24,0.5 --seeds 5"],
    ),
    "laptop-baseline": (
        "the baseline with a learning rate that stays",
        ["baseline --set epochs=9.9 --set lr_start=1 --set lr_peak_at=0 --set lr_end=1 --seeds 5"],
    ),
    "laptop-recipes": (
        "the larger published recipes, and airbench94_next",
        ["airbench94_next --seeds 5", "airbench95 --seeds 5", "airbench96 --seeds 3", "airbench96_faster --seeds 3"],
    ),
    "quarter-epochs": (
        "accuracy against epochs",
        ["airbench94 --set epochs=5,7,9.9,14,20 --seeds 5", "baseline --set epochs=9.9,14,20,30,45 --seeds 5"],
    ),
    "quarter-ladder": ("the ladder, each rung with its published epochs", ["ladder --seeds 5"]),
    "quarter-ablation": (
        "one trick added to the whitened baseline, one removed from airbench94, all for 9.9 epochs",
        ["ablation --set epochs=9.9 --seeds 5 --race"],
    ),
    "quarter-next": (
        "a recipe of our own beside Muon's",
        ["airbench94_muon --seeds 10 --race", "airbench94_next --seeds 10 --race"],
    ),
    "quarter-recipes": ("the larger published recipes", ["airbench95 --seeds 3", "airbench96 --seeds 3"]),
}

Record = Mapping[str, Any]
TABLE = "<!-- table: benchmarks/recorded.py -->\n"
REGIMES = "<!-- table of the regimes -->\n"


def named(beginnings: Iterable[str]) -> list[str]:
    """The names of FILES that are, or begin with, one of `beginnings`. Raises UsageError where none does."""
    found = {one: [name for name in FILES if name == one or name.startswith(f"{one}-")] for one in beginnings}
    if unknown := [one for one, names in found.items() if not names]:
        raise UsageError(f"no file is called {unknown[0]}; there are {', '.join(FILES)}")
    return [name for names in found.values() for name in names] or list(FILES)


def scale_of(name: str) -> str:
    return Path(name).name.partition("-")[0]


def commands(name: str, out: str) -> list[list[str]]:
    """What makes a file's runs: the words after `airbench` of each of its sweeps."""
    more = ["--scale", scale_of(name), "--data", DATA, "--out", out]
    return [["sweep", *shlex.split(sweep), *more] for sweep in FILES[name][1]]


def wanted(name: str) -> dict[tuple[Recipe, int], None]:
    """What tells each run of a file from the others of one data set: its recipe, as scaled, and its seed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("study")
    parser.add_argument("--set", action="append", default=[], dest="axes")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--race", action="store_true")
    found = {}
    for args in (parser.parse_args(shlex.split(sweep)) for sweep in FILES[name][1]):
        variants = grid(study_named(args.study).variants(), axes_from(args.axes))
        recipes = [SCALES[scale_of(name)].recipe(one.recipe) for one in variants if not one.compile]
        found |= dict.fromkeys(product(recipes, range(args.seed, args.seed + args.seeds)))
    return found


def identity(record: Record) -> tuple[Recipe, int]:
    return recipe_of(record["recipe"]), record["seed"]


def pool(scale: str, logs: Iterable[Path], timed: Iterable[Path]) -> dict[tuple[Recipe, int], Record]:
    """The recipes' runs at a scale in all logs; of those of one recipe and seed, that which may be quoted."""
    found: dict[tuple[Recipe, int], Record] = {}
    for quoted, some in ((False, logs), (True, timed)):
        for record in (record for log in some for record in runlog.load(log)):
            if (record["scale"], record["data"]["name"]) == (scale, DATA) and not record.get("parts"):
                found[identity(record)] = record if quoted else runlog.untimed(record)
    return found


def packed(record: Record) -> Record:
    """The record without what `runlog.load` fills in, and with losses and times to be drawn, not computed with."""

    def rounded(epoch: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value if value is None else round(value, 4) for name, value in epoch.items()}

    seconds = None if record["seconds"] is None else round(record["seconds"], 2)
    epochs = [rounded(epoch) for epoch in record["epochs"] if epoch["accuracy"] is not None]
    recipes = {name: recipe_of(record[name]).changes() for name in ("asked", "recipe")}
    return {**record, **recipes, "epochs": epochs, "seconds": seconds}


def select(name: str, runs: Mapping[tuple[Recipe, int], Record]) -> list[Record]:
    """The runs of a file, each once, of the seeds that are complete.

    Raises AirbenchError if no seed is, and for what should not be published.
    """
    needed = wanted(name)
    lacking = {seed for recipe, seed in needed if (recipe, seed) not in runs}
    records = [runs[one] for one in needed if one[1] not in lacking]
    if not records:
        missing = [one for one in needed if one not in runs]
        raise AirbenchError(f"{name}: {len(missing)} of {len(needed)} runs are missing, such as {missing[0]}")
    if changed := [one for one in records if (one["versions"]["commit"] or "+").endswith("+")]:
        raise AirbenchError(f"{name}: {len(changed)} runs were made by a changed checkout")
    made_on(name, records)
    return records


def made_on(name: str, records: Iterable[Record]) -> str:
    """What made a file's records: one kind of machine and one version. Raises AirbenchError if there are several."""
    kinds = {f"{hardware(one['runtime'])}, torch {one['versions']['torch']}" for one in records}
    if len(kinds) > 1:
        raise AirbenchError(f"{name}: runs of several kinds: {'; '.join(sorted(kinds))}")
    return kinds.pop()


def table(folder: Path = FOLDER) -> str:
    """The Markdown table of all that is recorded."""
    lines = [
        "| file | what | made by `airbench sweep` | runs | seconds | on | commit |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, (what, sweeps) in FILES.items():
        if not (path := folder / f"{name}.jsonl").exists():
            continue
        records = runlog.load(path)
        timed = sum(record["seconds"] is not None for record in records)
        quoted = "yes" if timed == len(records) else f"of {timed}" if timed else "no"
        commits = ", ".join(sorted({f"`{record['versions']['commit'][:7]}`" for record in records}))
        made = "<br>".join(f"`{sweep}`" for sweep in sweeps)
        where = made_on(name, records)
        lines.append(f"| {name}.jsonl | {what} | {made} | {len(records)} | {quoted} | {where} | {commits} |")
    return "\n".join(lines) + "\n"


def filled(page: str) -> str:
    """The page with the table of the files and that of the regimes, and after each report's comment what it prints."""
    for mark, text in ((TABLE, table()), (REGIMES, f"{regimes.markdown()}\n")):
        page = re.sub(f"({re.escape(mark)})(\\|.*\n)*", lambda found, text=text: found[1] + text, page)
    return re.sub(r"(<!-- airbench (report .*) -->\n)(\|.*\n)*", lambda found: found[1] + report(found[2]), page)


def report(command: str) -> str:
    """What `airbench COMMAND --format markdown` prints in the folder of the recorded runs."""
    words = [str(FOLDER / word) if word.endswith(".jsonl") else word for word in shlex.split(command)]
    with redirect_stdout(io.StringIO()) as out:
        if main_of_airbench([*words, "--format", "markdown"]):
            raise AirbenchError(f"airbench {command} failed")
    return out.getvalue()


def pack(names: Iterable[str], logs: list[Path], timed: list[Path]) -> None:
    files = {name: select(name, pool(scale_of(name), logs, timed)) for name in names}
    for name, records in files.items():
        path = FOLDER / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(packed(record)) + "\n" for record in records))
    readme = FOLDER / "README.md"
    readme.write_text(filled(readme.read_text()))
    for name, records in files.items():
        print(f"{name}: {len(records)} of {len(wanted(name))} runs")


def ladder_figure() -> Drawing:
    """The ladder at the scale quarter, with its published epochs, beside the paper's. Seeds are those of all rungs."""
    found = {rung: lookup(rung.recipe, "quarter", DATA) for rung in LADDER if not rung.compile}
    seeds = set.intersection(*(set(runs.accuracies) for runs in found.values()))
    rungs = {one.label: (one.recipe.epochs, [runs.accuracies[s] for s in seeds]) for one, runs in found.items()}
    return ladder(rungs, where=f"scale quarter, {DATA}, {found[LADDER[0]].hardware}")


def make(names: Iterable[str], folder: Path) -> int:
    """Run the sweeps of each file; those that were made already, in a log of the file's name, are not made again."""
    folder.mkdir(exist_ok=True)
    for name in names:
        for command in commands(name, str(folder / f"{Path(name).name}.jsonl")):
            if status := main_of_airbench(command):
                return status
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    making, asking, packing, _ = (verbs.add_parser(verb) for verb in ("make", "commands", "pack", "pictures"))
    for verb in making, asking, packing:
        verb.add_argument("files", nargs="*", metavar="FILE")
    making.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    packing.add_argument("--logs", type=Path, nargs="+", default=[], metavar="LOG")
    packing.add_argument("--timed", type=Path, nargs="+", default=[], metavar="LOG")
    args = parser.parse_args()
    if args.verb == "pictures":
        for name, figure in {"tricks": regimes.figure, "ladder": ladder_figure}.items():
            (DOCS / f"{name}.png").write_bytes(fewer_colours(png(figure())))
        return 0
    try:
        names = named(args.files)
        if args.verb == "make":
            return make(names, args.out)
        if args.verb == "pack":
            pack(names, args.logs, args.timed)
    except AirbenchError as error:
        print(f"recorded.py: error: {error}", file=sys.stderr)
        return error.exit_status
    if args.verb == "commands":
        for command in (command for name in names for command in commands(name, "recorded.jsonl")):
            print(shlex.join(["airbench", *command]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
