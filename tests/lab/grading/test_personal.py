"""A student's numbers: the same everywhere, others for everybody, spread evenly."""

import subprocess
import sys
from collections import Counter

import pytest
import torch
from airbench_lab.grading.personal import personal

from airbench_core import UsageError


def test_the_same_id_has_the_same_numbers_in_another_process():
    code = (
        "from airbench_lab.grading import personal; p = personal('ab1', 'tta'); print(p.seed, p.choice('x', range(9)))"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    here = personal("ab1", "tta")
    assert there == [str(here.seed), str(here.choice("x", range(9)))]


def test_blanks_and_case_of_an_id_do_not_matter():
    assert personal(" AB1 ", "tta").seed == personal("ab1", "tta").seed
    assert personal(123456, "tta").seed == personal("123456", "tta").seed


def test_students_assignments_and_purposes_differ():
    one = personal("ab1", "tta")
    assert len({one.seed, personal("ab2", "tta").seed, personal("ab1", "flip").seed}) == 3
    draws = [torch.rand(3, generator=one.generator(purpose)).tolist() for purpose in ("a", "a", "b")]
    assert draws[0] == draws[1] != draws[2]


def test_choices_are_spread_over_the_options():
    counted = Counter(personal(f"s{n}", "tta").choice("eps", "abcd") for n in range(400))
    assert set(counted) == set("abcd")
    assert min(counted.values()) > 60  # 100 each, give or take four standard deviations


@pytest.mark.parametrize("nothing", ["", "  ", ..., None])
def test_an_id_that_is_missing_is_asked_for(nothing):
    with pytest.raises(UsageError, match="student_id is empty: write your own"):
        personal(nothing, "tta")
