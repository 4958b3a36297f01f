"""The runs of a log by recipe and runtime, what each group is called, and which of them failed."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from airbench_core.errors import UsageError
from airbench_core.fields import brief
from airbench_core.published import RECIPES
from airbench_core.recipes import Recipe
from airbench_core.scales import SCALES
from airbench_lab.study.keys import key, plain, runtime_parts
from airbench_lab.study.studies import Study

if TYPE_CHECKING:
    from airbench_lab.study.curves import Curve  # which is slow to import

Record = Mapping[str, Any]
Runs = dict[int, Record]  # by seed


def by_name(records: Iterable[Record], study: Study | None = None) -> dict[str, Runs]:
    """The runs of each recipe and runtime under its name, in the order in which they come first.

    records: of one scale and data set (`keys.one_setting`). Of several of one seed the last counts. study: see `names`.
    """
    records = list(records)
    groups: dict[str, Runs] = {}
    for called, record in zip(names(records, study=study), records, strict=True):
        groups.setdefault(called, {})[record["seed"]] = record
    return groups


def by_budget(records: Iterable[Record], study: Study | None = None) -> dict[str, dict[float, Runs]]:
    """As `by_name`, but under one name a recipe's trainings of all lengths, each under its epochs, as scaled."""
    records = list(records)
    groups: dict[str, dict[float, Runs]] = {}
    for called, record in zip(names(records, epochs=False, study=study), records, strict=True):
        groups.setdefault(called, {}).setdefault(budget(record), {})[record["seed"]] = record
    return groups


def budget(record: Record) -> float:
    """The epochs that the recipe asks for, as scaled, to nine digits."""
    return float(_rounded(record["recipe"]["epochs"]))


def check_named(option: str, name: str, groups: Iterable[str]) -> None:
    """Raise UsageError, with the names that there are, if `name` is none of `groups`."""
    if name not in groups:
        raise UsageError(f"{option}={name} is not in the log; there is: {'; '.join(groups)}")


def of_study(records: Iterable[Record], study: Study) -> list[Record]:
    """Those of `records` that the study names (see `names`), in its order; of one variant, by epochs."""
    placed = [(called, record) for record in records if (called := _called(record, study)) is not None]
    placed.sort(key=lambda one: (one[0].place, budget(one[1])))
    return [record for _, record in placed]


def names(records: Iterable[Record], *, epochs: bool = True, study: Study | None = None) -> list[str]:
    """A name for each record, the same only for those of one recipe and runtime: "airbench94 flip=random, compiled".

    The recipe: see `recipe_name`. The runtime: those of its parts that a run's key holds, as far as `records` differ
    in them.

    study: what it calls its variants instead, "+ whitening" or, trained longer or shorter, "+ whitening epochs=7". A
    compiled run goes by the name of the eager variant where there is no compiled one. Raises UsageError for a run that
    is not the study's (leave it out by `of_study`).
    """
    records = list(records)
    runtimes = [runtime_parts(record["runtime"]) for record in records]
    kinds = dict.fromkeys(part for runtime in runtimes for part in runtime)
    mixed = [part for part in kinds if len({runtime.get(part) for runtime in runtimes}) > 1]
    found = []
    for record, runtime in zip(records, runtimes, strict=True):
        if study is None:
            called = _Called(0, recipe_name(record, epochs=epochs), False)
        elif (called := _called(record, study, epochs=epochs)) is None:
            raise UsageError(f"a run of {recipe_name(record)} is not of the study that is to name it")
        differ = [part for part in mixed if not (part == "compile" and called.compile)]
        found.append(", ".join([called.name, *_words(runtime, differ)]))
    return found


def recipe_name(record: Record, *, epochs: bool = True) -> str:
    """The published recipe with the fewest other values, and these, as asked for: "airbench94 flip=random epochs=5".

    As asked for: before the scale (`Scale.asked`); of a scale of somebody's own, which is not known, as trained.
    Epochs do not decide which recipe is nearest, so that it has one name at all lengths of training but for
    "epochs=5", which is left out unless `epochs`. A field that an old record lacks is at its default. Numbers are
    given, and told apart, to nine digits: what should be 3.96 epochs are 3.9600000000000004. Parts that were somebody's
    own are named last: "airbench94 flip=random with own lookahead and whiten".
    """
    ours = _asked(record)
    changed = {
        name: [field for field in ours if field not in recipe or ours[field] != recipe[field]]
        for name, recipe in _published().items()
    }
    nearest = min(changed, key=lambda name: len(set(changed[name]) - {"epochs"}))
    named = [field for field in changed[nearest] if epochs or field != "epochs"]
    own = " and ".join(record.get("parts", ()))
    return " ".join([nearest, *(f"{field}={brief(ours[field])}" for field in named)]) + f" with own {own}" * bool(own)


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
    """The accuracies of the budgets, as `curves.curve_of`."""
    from airbench_lab.study.curves import curve_of  # here: slow to import

    return curve_of({epochs: accuracies(runs, called, tta) for epochs, runs in budgets.items()})


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


def failures(failed: Iterable[Record], finished: Iterable[Record] = (), study: Study | None = None) -> list[Failures]:
    """What failed of the runs in a log, in the order of its records; not what was `finished` another time.

    The names say how the runtimes of all of these records differ. study: see `names`.
    """
    finished = list(finished)
    done = {key(record) for record in finished}
    records = list({key(record): record for record in failed if key(record) not in done}.values())
    alike: dict[tuple[str, str], list[Record]] = {}
    for name, record in zip(names([*finished, *records], study=study)[len(finished) :], records, strict=True):
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


class _Called(NamedTuple):
    """What a run is called by a study, after which of its variants, and whether that is compiled."""

    place: int
    name: str
    compile: bool


def _called(record: Record, study: Study, *, epochs: bool = True) -> _Called | None:
    """None if the run is of none of the study's variants, as one with parts of somebody's own: see `names`."""
    if record.get("parts"):
        return None
    variants, trained = _variants(study, record["scale"]), _trained(record)
    for compiled in dict.fromkeys((bool(record["runtime"]["compile"]), False)):
        lengths = variants.get((_but_epochs(trained), compiled))
        if lengths and (found := lengths.get(trained["epochs"])) and epochs:
            return found
        if lengths:
            first = next(iter(lengths.values()))
            return first._replace(name=first.name + f" epochs={brief(_asked(record)['epochs'])}" * epochs)
    return None


@cache
def _variants(study: Study, scale: str) -> dict[tuple[frozenset, bool], dict[float, _Called]]:
    """The variants by recipe, but for its epochs, and by whether they are compiled; under each by epochs, as scaled."""
    scaled = SCALES[scale].recipe if scale in SCALES else lambda recipe: recipe
    found: dict[tuple[frozenset, bool], dict[float, _Called]] = {}
    for place, variant in enumerate(study.variants()):
        values = _values(scaled(variant.recipe))
        lengths = found.setdefault((_but_epochs(values), variant.compile), {})
        lengths.setdefault(values["epochs"], _Called(place, variant.label, variant.compile))
    return found


def _but_epochs(values: Mapping[str, Any]) -> frozenset:
    return frozenset(values.items() - {("epochs", values["epochs"])})


def _trained(record: Record) -> dict[str, Any]:
    """The values of the recipe as scaled."""
    return _values(Recipe()) | {field: _rounded(value) for field, value in record["recipe"].items()}


def _asked(record: Record) -> dict[str, Any]:
    """The values of the recipe before it was scaled, as far as the scale is known."""
    trained = asdict(Recipe()) | record["recipe"]  # not rounded yet: rounding twice would not give 1 / 3 back
    scale = SCALES.get(record["scale"])
    return {field: _rounded(value) for field, value in (scale.asked(trained) if scale else trained).items()}


@cache
def _published() -> dict[str, dict[str, Any]]:
    return {name: _values(recipe) for name, recipe in RECIPES.items()}


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
