"""Each exercise: the reference passes, the stub does not, each usual mistake gets its own hint."""

import math

import pytest
import torch
from airbench_lab.exercises import EXERCISES, check, flip
from airbench_lab.exercises.differences import difference
from scipy import stats
from torch import nn

from airbench_core import UsageError

ALL = [(name, step) for name, exercise in EXERCISES.items() for step in (None, *exercise.step_names)]
IN_PLACE = ("identity", "lookahead")  # these exercises return nothing


def exercise_of(name, step):
    return EXERCISES[name].step(step) if step else EXERCISES[name]


MISTAKES = [
    (name, step, mistake)
    for name, exercise in EXERCISES.items()
    for step in (None, *(step.name for step in exercise.steps))
    for mistake in exercise_of(name, step).mistakes
]


def stub(*_):
    raise NotImplementedError


@pytest.mark.parametrize(("name", "step"), ALL)
def test_the_reference_passes_and_a_whole_one_takes_its_place_in_a_training(name, step):
    exercise = exercise_of(name, step)
    result = check(name, exercise.reference, step)
    assert result.passed, str(result)
    assert {how for _, how in result.results} == {"right"}
    assert result.function is exercise.reference
    if exercise.part:
        assert getattr(result.parts, exercise.part) is exercise.reference
    else:
        with pytest.raises(UsageError, match="is no part of a training"):
            _ = result.parts


@pytest.mark.parametrize(("name", "step"), ALL)
def test_the_stub_fails_on_the_check_and_the_lesson_goes_on(name, step):
    result = check(name, stub, step)
    assert "Not written yet" in result.differs
    assert result.results[0][1] == "wrong"
    assert result.function is exercise_of(name, step).reference
    if exercise_of(name, step).part:
        assert result.parts.replaced == ()


@pytest.mark.parametrize("name", EXERCISES)
def test_an_exercise_is_written_in_two_to_four_steps(name):
    steps = EXERCISES[name].step_names
    assert 2 <= len(steps) + any(not case.step for case in EXERCISES[name].cases) <= 4


@pytest.mark.parametrize(("name", "step", "mistake"), MISTAKES, ids=[f"{n} {s}: {m.hint[:40]}" for n, s, m in MISTAKES])
def test_a_usual_mistake_gets_its_own_hint(name, step, mistake):
    result = check(name, mistake.wrong, step)
    assert result.differs
    assert result.hint == mistake.hint


@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.parametrize("answer", [None, 3, "text", []])
def test_an_answer_of_another_kind_is_told(name, answer):
    result = check(name, lambda *_: answer)
    assert not result.passed
    assert result.differs in str(result)


@pytest.mark.parametrize("name", EXERCISES)
def test_what_a_solution_raises_is_told_with_its_line(name):
    def mine(*arguments):
        return arguments[17]  # there are not so many

    assert "Your function raised IndexError in the line `return arguments[17]" in check(name, mine).differs


@pytest.mark.parametrize(
    ("wrong", "meaning"),
    [
        (lambda x: -(x > 0), "The opposite of a mask is"),
        (lambda x: 1 - (x > 0), "The opposite of a mask is"),
        (lambda x: nn.Conv2d(3, 24, 2).weight.add_(1), "with torch.no_grad()"),
        (lambda x: x + torch.ones(7), "two shapes do not fit"),
        (lambda x: x[0, 0] @ torch.ones(7, 7), "two shapes do not fit"),
        (lambda x: x.reshape(7, 7), "the new shape holds another number"),
        (lambda x: x[0, 0] @ torch.ones(32, 1, dtype=torch.double), "Bring both to one"),
        (lambda x: torch.relu(), "more arguments than it takes, or fewer"),
        (lambda x, eps, more: x, "more arguments than it takes, or fewer"),
        (lambda x: Tensor_, "is the name spelled right"),  # noqa: F821
        (lambda x: [2, 1].sort()[0], "returns None"),
    ],
)
def test_an_error_is_explained_in_plain_words(wrong, meaning):
    result = check("whitening", wrong, step="moment")
    assert result.differs.startswith("Your function raised ")
    assert meaning in result.hint


@pytest.mark.parametrize("name", [name for name in EXERCISES if name not in IN_PLACE])
def test_a_function_without_a_return_is_told_so_whatever_is_compared_of_it(name):
    def mine(*arguments):
        EXERCISES[name].reference(*arguments)

    assert check(name, mine).differs.endswith(" is None: is there a `return`?")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda images, *_: torch.empty_like(images, device="meta"), "Cannot copy out of meta tensor; no data!"),
        (lambda *_: 10**400, "int too large to convert to float"),
    ],
)
def test_an_answer_that_cannot_be_compared_is_told_so(answer, why):
    assert check("cutout", answer).differs == f"The answer cannot be compared: {why}"


def test_in_html_code_is_code_and_nothing_else_is_markup():
    def mine(*arguments):
        return arguments[17] if len(arguments) < 17 else "<b>"

    shown = check("whitening", mine)._repr_html_()
    assert "in the line <code>return arguments[17] if len(arguments) &lt; 17 else &quot;&lt;b&gt;&quot;</code>" in shown
    assert "`" not in check("whitening", stub)._repr_html_()
    assert "<code>raise NotImplementedError</code>" in check("whitening", stub)._repr_html_()


def test_what_does_not_exist_is_refused():
    with pytest.raises(UsageError, match=r"there is no exercise 'whitenning'; there are .*whitening"):
        check("whitenning", stub)
    with pytest.raises(UsageError, match="whitening has no step 'sings'; it has moment, filters, signs"):
        check("whitening", stub, step="sings")


@pytest.mark.parametrize(
    ("yours", "right", "words"),
    [
        ([1.0, 2.0], [1.0, 2.0005], ""),
        ([1.0, 2.0], [1.0, 2.1], "X: 1 of 2 entries differ. The first is [1]: yours is 2, right is 2.1."),
        ([math.nan, 1], [1.0, 1.0], "yours is nan, right is 1. Is something divided by 0"),
        ([True], [1], "X: yours holds bools, right holds numbers."),
        ([1.0], [[1.0]], "X: yours has the shape (1,), right is (1, 1)."),
        ([3.0, 2.0, 1.0], [1.0, 2.0, 3.0], "They are the right numbers in another order."),
        ([-1.0, 2.0], [1.0, -2.0], "All have the wrong sign."),
        ([2.0, 3.0], [1.0, 2.0], "All are 1 too large."),
        ([0.0, 0.0], [1.0, 2.0], "All of yours are 0."),
        (None, [1.0], "X is None: is there a `return`?"),
        ({1: 2}, [1.0, 2.0], "X: yours is of the type dict, right is a list of 2 numbers."),
    ],
)
def test_the_first_difference_is_said_in_words(yours, right, words):
    found = difference({"x": yours}, {"x": right})
    assert words in found if words else not found


def test_fair_tosses_fail_as_seldom_as_the_flip_says():
    images, tosses = flip.IMAGES, len(flip.SEEDS) * flip.EPOCHS

    def off(n, by):
        """The probability that n fair tosses are more than `by` away from a half of them."""
        return 2 * stats.binom.sf(math.floor(n / 2 + by), n, 0.5)

    sigmas = [
        (1, images * tosses),  # all
        (tosses, images),  # an epoch
        (images, tosses),  # an image
        (tosses * (tosses - 1) / 2 + tosses * len(flip.SEEDS), images),  # two epochs, and each beside `first`
    ]
    chance = sum(count * off(n, flip.SIGMAS * math.sqrt(n) / 2) for count, n in sigmas)
    chance += images * (images - 1) / 2 * off(tosses, flip.TOGETHER - 1)
    assert chance < 1e-5


def test_a_solution_may_use_up_the_generator_as_it_likes():
    def mine(which, epoch, first, generator):
        torch.rand(17, generator=generator)
        return flip.flip_mask(which, epoch, first, generator)

    assert check("flip", mine).passed
