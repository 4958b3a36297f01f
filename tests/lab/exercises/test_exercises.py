"""Each exercise: the reference passes, the stub fails on the check, each usual mistake gets the hint that names it."""

import pytest
import torch
from airbench_lab.exercises import EXERCISES, check
from airbench_lab.exercises.checking import same

from airbench_core import UsageError

IN_PLACE = ("identity", "lookahead")  # these exercises return nothing
MISTAKES = [(name, mistake) for name, exercise in EXERCISES.items() for mistake in exercise.mistakes]


def stub(*_):
    raise NotImplementedError


@pytest.mark.parametrize("name", EXERCISES)
def test_the_reference_passes_and_takes_its_place_in_a_training(name):
    exercise = EXERCISES[name]
    result = check(name, exercise.reference)
    assert result.passed, str(result)
    assert {how for _, how in result.results} == {"right"}
    assert result.function is exercise.reference
    if exercise.part:
        assert getattr(result.parts, exercise.part) is exercise.reference


@pytest.mark.parametrize("name", EXERCISES)
def test_the_stub_fails_on_the_check_and_the_lesson_goes_on(name):
    result = check(name, stub)
    assert "not written yet" in result.hint
    assert result.results[0][1] == "wrong"
    assert result.function is EXERCISES[name].reference
    if EXERCISES[name].part:
        assert result.parts.replaced == ()


@pytest.mark.parametrize("name", EXERCISES)
def test_there_are_enough_usual_mistakes(name):
    assert len(EXERCISES[name].mistakes) >= 4
    assert len({mistake.hint for mistake in EXERCISES[name].mistakes}) == len(EXERCISES[name].mistakes)


@pytest.mark.parametrize(("name", "mistake"), MISTAKES, ids=[f"{name}: {m.hint[:40]}" for name, m in MISTAKES])
def test_a_usual_mistake_gets_its_own_hint(name, mistake):
    assert check(name, mistake.wrong).hint == mistake.hint


@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.parametrize("answer", [None, 3, "text", []])
def test_an_answer_of_another_kind_is_told(name, answer):
    result = check(name, lambda *_: answer)
    assert result.hint
    assert "Hint: " in str(result)


@pytest.mark.parametrize("name", EXERCISES)
def test_what_a_solution_raises_is_told_with_its_line(name):
    def mine(*arguments):
        return arguments[17]  # there are not so many

    assert "your function raised IndexError in the line `return arguments[17]" in check(name, mine).hint


@pytest.mark.parametrize("name", [name for name in EXERCISES if name not in IN_PLACE])
def test_a_function_without_a_return_is_told_so_whatever_is_compared_of_it(name):
    def mine(*arguments):
        EXERCISES[name].reference(*arguments)

    assert check(name, mine).hint == "your function returns None: is there a `return`?"


@pytest.mark.parametrize("name", IN_PLACE)
def test_a_function_that_works_in_place_needs_no_return(name):
    def mine(*arguments):
        EXERCISES[name].reference(*arguments)

    assert check(name, mine).passed


def test_in_html_code_is_code_and_nothing_else_is_markup():
    def mine(*arguments):
        return arguments[17] if len(arguments) < 17 else "<b>"

    shown = check("whitening", mine)._repr_html_()
    assert "in the line <code>return arguments[17] if len(arguments) &lt; 17 else &quot;&lt;b&gt;&quot;</code>" in shown
    assert "`" not in check("whitening", stub)._repr_html_()
    assert "<code>raise NotImplementedError</code>" in check("whitening", stub)._repr_html_()


def test_an_unknown_exercise_is_refused():
    with pytest.raises(UsageError, match=r"there is no exercise 'whitenning'; there are .*whitening"):
        check("whitenning", stub)


def test_answers_are_compared_up_to_rounding():
    assert same([1.0, 2.0], [1.0, 2.0005])
    assert not same([1.0, 2.0], [1.0, 2.1])
    assert not same([float("nan")], [1.0])
    assert not same([True], [1])
    assert not same([1.0], [[1.0]])


def test_what_is_computed_more_exactly_than_the_reference_is_as_right():
    def in_float32(matrices, steps):
        x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
        for _ in range(steps):
            x = 3.4445 * x - 4.7750 * x @ x.mT @ x + 2.0315 * x @ x.mT @ x @ x.mT @ x
        return x

    result = check("newton_schulz", in_float32)
    assert result.passed, str(result)


@pytest.mark.parametrize("toss", [torch.bernoulli, lambda share, generator: torch.rand(len(share)) < share])
def test_a_flip_may_toss_its_coins_in_its_own_way_but_from_the_generator(toss):
    def mine(flip, epoch, first, generator):
        half = torch.full(first.shape, 0.5 if flip == "random" else 0.0)
        return first ^ (epoch % 2 == 1) if flip == "alternating" else toss(half, generator=generator).bool()

    result = check("flip", mine)
    assert result.passed == (toss is torch.bernoulli), str(result)
    assert ("do not come from `generator`" in result.hint) == (toss is not torch.bernoulli)
