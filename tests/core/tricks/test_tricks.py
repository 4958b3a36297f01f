from dataclasses import fields
from pathlib import Path

import pytest

from airbench_core import TRICKS, Parts, Recipe, Runtime, tricks

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"


def test_the_list_is_the_folder_and_every_replaceable_part():
    files = {path.stem for path in Path(tricks.__file__).parent.glob("*.py")} - {"__init__"}
    assert {trick.file for trick in TRICKS} == files
    assert len(TRICKS) == len(files)
    assert {trick.part for trick in TRICKS} - {None} == {f.name for f in fields(Parts) if f.default}


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.file)
def test_each_trick_has_a_lesson_a_field_and_its_part_in_its_own_file(trick):
    assert (NOTEBOOKS / f"{trick.lesson}.ipynb").exists()
    assert trick.field in {f.name for kind in (Recipe, Runtime) for f in fields(kind)}
    if trick.part:
        part = getattr(Parts(), trick.part)
        assert part.__module__ == f"airbench_core.tricks.{trick.file}"


def test_parts_know_which_of_them_were_replaced():
    assert Parts().replaced == Parts(whiten=Parts().whiten).replaced == ()
    assert Parts(whiten=abs, flip=abs).replaced == ("flip", "whiten")
    assert Parts(**dict.fromkeys(vars(Parts()), abs)).replaced == tuple(sorted(vars(Parts())))
