"""The runs of a log by recipe and runtime, what each group is called, and which of them failed."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from airbench_core.errors import UsageError
from airbench_core.fields import brief
from airbench_core.published import RECIPES
from airbench_core.recipes import Recipe
from airbench_core.scales import SCALES
from airbench_core.study.keys import key, plain, runtime_parts

if TYPE_CHECKING:
    from airbench_core.study.curves import Curve  # which is slow to import

Record = Mapping[str, Any]
Runs = dict[int, Record]  # by seed


def by_name(records: Iterable[Record]) -> dict[str, Runs]:
    """The runs of each recipe and runtime under its name, in the order in which they were first run.

    records: of one scale and data set (`keys.one_setting`). Of several of one seed the last counts.
    """
    records = list(records)
    groups: dict[str, Runs] = {}
    for called, record in zip(names(records), records, strict=True):
        groups.setdefault(called, {})[record["seed"]] = record
    return groups


def by_budget(records: Iterable[Record]) -> dict[str, dict[float, Runs]]:
    """As `by_name`, but under one name a recipe's trainings of all lengths, each under its epochs, as scaled."""
    records = list(records)
    groups: dict[str, dict[float, Runs]] = {}
    for called, record in zip(names(records, epochs=False), records, strict=True):
        groups.setdefault(called, {}).setdefault(budget(record), {})[record["seed"]] = record
    return groups


def budget(record: Record) -> float:
    """The epochs that the recipe asks for, as scaled, to nine digits."""
    return float(_rounded(record["recipe"]["epochs"]))


def check_named(option: str, name: str, groups: Iterable[str]) -> None:
    """Raise UsageError, with the names that there are, if `name` is none of `groups`."""
    if name not in groups:
        raise UsageError(f"{option}={name} is not in the log; there is: {'; '.join(groups)}")


def names(records: Iterable[Record], *, epochs: bool = True) -> list[str]:
    """A name for each record, the same only for those of one recipe and runtime: "airbench94 flip=random, compiled".

    The recipe: see `recipe_name`. The runtime: those of its parts that a run's key holds, as far as `records` differ
    in them.
    """
    records = list(records)
    runtimes = [runtime_parts(record["runtime"]) for record in records]
    kinds = dict.fromkeys(part for runtime in runtimes for part in runtime)
    mixed = [part for part in kinds if len({runtime.get(part) for runtime in runtimes}) > 1]
    return [
        ", ".join([recipe_name(record, epochs=epochs), *_words(runtime, mixed)])
        for record, runtime in zip(records, runtimes, strict=True)
    ]


def recipe_name(record: Record, *, epochs: bool = True) -> str:
    """The published recipe with the fewest other values, at the record's scale, and these: "airbench94 flip=random".

    Epochs do not decide which is nearest, so that a recipe has one name at all lengths of training but for
    "epochs=3.96", which is left out unless `epochs`. A field that an old record lacks is at its default. Numbers are
    given, and told apart, to nine digits: what should be 3.96 epochs are 3.9600000000000004.
    """
    ours = _values(Recipe()) | {field: _rounded(value) for field, value in record["recipe"].items()}
    changed = {
        name: [field for field in ours if field not in recipe or ours[field] != recipe[field]]
        for name, recipe in _published(record["scale"]).items()
    }
    nearest = min(changed, key=lambda name: len(set(changed[name]) - {"epochs"}))
    named = [field for field in changed[nearest] if epochs or field != "epochs"]
    return " ".join([nearest, *(f"{field}={brief(ours[field])}" for field in named)])


def accuracies(runs: Runs, called: str, tta: str | None = None) -> dict[int, float]:
    """The accuracy of each seed at the level `tta` (None: the recipe's own). Raises UsageError if a run lacks it."""
    if tta is None:
        return {seed: record["accuracy"] for seed, record in runs.items()}
    for seed, record in runs.items():
        if tta not in record["accuracies"]:
            levels = ", ".join(record["accuracies"])
            raise UsageError(f"tta={tta} was not measured for {called}, seed {seed}; there is: {levels}")
    return {seed: record["accuracies"][tta] for seed, record in runs.items()}


def curve(budgets: Mapping[float, Runs], called: str, tta: str | None = None) -> "Curve":
    """The accuracies of the budgets that have two runs and more, as `curves.MeasuredCurve` takes them.

    Seeds are named, so that runs are paired, where all of these budgets have the same ones.
    """
    some = {epochs: accuracies(runs, called, tta) for epochs, runs in sorted(budgets.items()) if len(runs) > 1}
    alike = len({frozenset(runs) for runs in some.values()}) == 1
    return some if alike else {epochs: list(runs.values()) for epochs, runs in some.items()}


@dataclass(frozen=True, kw_only=True)
class Failures:
    """The runs of one recipe and runtime that failed in one way; `message` is that of the first of `seeds`."""

    name: str
    kind: str
    seeds: tuple[int, ...]
    message: str

    def __str__(self) -> str:
        seeds = ", ".join(map(str, self.seeds[:10])) + ", ..." * (len(self.seeds) > 10)
        return f"{self.name} (seed{'s' * (len(self.seeds) > 1)} {seeds}): {self.kind}: {self.message}"


def failures(failed: Iterable[Record], finished: Iterable[Record] = ()) -> list[Failures]:
    """What failed of the runs in a log, in the order of its records; not what was `finished` another time.

    The names say how the runtimes of all of these records differ.
    """
    finished = list(finished)
    done = {key(record) for record in finished}
    records = list({key(record): record for record in failed if key(record) not in done}.values())
    alike: dict[tuple[str, str], list[Record]] = {}
    for name, record in zip(names([*finished, *records])[len(finished) :], records, strict=True):
        alike.setdefault((name, record["failed"]["kind"]), []).append(record)
    return [
        Failures(
            name=name,
            kind=kind,
            seeds=tuple(record["seed"] for record in some),
            message=next(iter(some[0]["failed"]["message"].splitlines()), ""),
        )
        for (name, kind), some in alike.items()
    ]


@cache
def _published(scale: str) -> dict[str, dict[str, Any]]:
    """The values of the published recipes at a scale; unscaled where it is one of somebody's own."""
    scaled = SCALES[scale].recipe if scale in SCALES else lambda recipe: recipe
    return {name: _values(scaled(recipe)) for name, recipe in RECIPES.items()}


@cache
def _values(recipe: Recipe) -> dict[str, Any]:
    return {field: _rounded(value) for field, value in asdict(recipe).items()}


def _rounded(value: Any) -> Any:
    """A recipe's value in the form that values with one name share."""
    value = plain(value)
    if isinstance(value, list):
        return tuple(value)
    return float(f"{value:.9g}") if isinstance(value, float) else value


def _words(runtime: Mapping[str, Any], mixed: Iterable[str]) -> list[str]:
    words = runtime | {"compile": "compiled" * runtime["compile"]}
    if "threads" in runtime:
        words["threads"] = f"{runtime['threads']} thread{'s' * (runtime['threads'] > 1)}"
    return [str(words[part]) for part in mixed if words.get(part)]
