"""What is chosen in a panel: one frozen value, checked when it is made."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

from airbench_core import SCALES, Dataset, Recipe, UsageError
from airbench_core.fields import SEEDS, whole
from airbench_core.published import recipe_named
from airbench_core.scales import scale_named
from airbench_lab.data import DATASETS, load_dataset
from airbench_lab.data.sources import SOURCES
from airbench_lab.study.settings import with_fields

MOST_SEEDS = 100  # in a press: each result is kept with its network


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What one press of Run will do.

    recipe: not scaled. data: the name of a data set. seeds: how many runs, counted up from first_seed. race: nothing is
    watched. Raises UsageError for what is not legal.
    """

    recipe: Recipe
    scale: str
    data: str
    compile: bool = False
    seeds: int = 1
    first_seed: int = 0
    race: bool = False

    def __post_init__(self) -> None:
        scale_named(self.scale).recipe(self.recipe)
        for name in "compile", "race":
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"{name}={getattr(self, name)!r} is not legal: true or false")
        for name, low, high in ("seeds", 1, MOST_SEEDS), ("first_seed", 0, SEEDS - MOST_SEEDS):
            object.__setattr__(self, name, whole(name, getattr(self, name), low, high))

    def changed(self, **values: Any) -> "Settings":
        """These settings with other values: of this class's fields, or of the recipe's."""
        own = {f.name for f in fields(self)}
        of_recipe = {name: value for name, value in values.items() if name not in own}
        recipe = with_fields(recipe_named(values.get("recipe", self.recipe)), **of_recipe)
        return replace(self, **{name: values[name] for name in values.keys() & own} | {"recipe": recipe})

    def value(self, name: str) -> Any:
        """Of a field of this class, or of the recipe."""
        return getattr(self if name in {f.name for f in fields(self)} else self.recipe, name)

    @property
    def scale_and_data(self) -> tuple[str, str]:
        """What runs must share to be drawn in one plot."""
        return self.scale, self.data

    @property
    def scaled(self) -> Recipe:
        """The recipe at the scale."""
        return SCALES[self.scale].recipe(self.recipe)

    @property
    def all_seeds(self) -> range:
        return range(self.first_seed, self.first_seed + self.seeds)


COMPANIONS = {"lookahead": "batchnorm_momentum"}  # a lone switch misleads: each helps with the other only


def trick_names(tricks: str | Sequence[str]) -> list[str]:
    """The fields to be switched, each once, with those that belong to them. Raises UsageError for an unknown one."""
    names: list[str] = []
    for trick in [tricks] if isinstance(tricks, str) else tricks:
        if trick not in ("compile", "recipe"):
            with_fields(Recipe(), **{trick: getattr(Recipe(), trick, None)})  # refuses an unknown one, with a guess
        names += [trick, *filter(None, [COMPANIONS.get(trick)])]
    return list(dict.fromkeys(names))


class DataSets:
    """The data sets that a panel can choose from, by name: those of this machine, and one that it was given."""

    def __init__(self, data: Dataset | str):
        self._given = data if isinstance(data, Dataset) else None
        self._there: dict[str, bool] = {}
        self._heads: dict[str, Dataset] = {}
        if isinstance(data, Dataset):
            self.default = data.name
        elif data == "auto":
            self.default = "cifar10" if self.is_available("cifar10") else "builtin"
        else:
            self.check(data)
            self.default = data

    @property
    def names(self) -> list[str]:
        """All that can be chosen; also those of which there may be nothing but recorded runs."""
        return list(dict.fromkeys([self.default, *DATASETS]))

    def check(self, name: str) -> None:
        """Raise UsageError for a name that is none of a data set."""
        if not isinstance(name, str):
            kind = type(name).__name__
            raise UsageError(f"data={kind} is not legal: a name; a Dataset is given when a panel is made")
        if name not in DATASETS and not (self._given and name == self._given.name):
            raise UsageError(f"data={name} is not legal: {', '.join(['auto', *DATASETS])}, or a Dataset")

    def is_available(self, name: str) -> bool:
        """Whether it can be loaded without a download."""
        if name == "builtin" or (self._given and name == self._given.name):
            return True
        if not self._there.get(name):  # what was missing may have come meanwhile
            self._there[name] = SOURCES[name].find(None) is not None
        return self._there[name]

    def load(self, name: str) -> Dataset:
        """Raises DataError where it is not on disk."""
        if self._given and name == self._given.name:
            return self._given
        return _loaded(name)

    def for_lookup(self, name: str, scale: str) -> Dataset | str:
        """For `replay`: the images of a data set that somebody gave, the name of one that is always the same."""
        if not (self._given and name == self._given.name):
            return name
        if scale not in self._heads:  # kept, since it remembers its digest
            self._heads[scale] = SCALES[scale].data(self._given)
        return self._heads[scale]


@lru_cache(maxsize=1)  # shared by all panels of a notebook
def _loaded(name: str) -> Dataset:
    return load_dataset(name)
