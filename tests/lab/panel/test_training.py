import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from airbench_lab.panel.training import Trainers, Training

from airbench_core import Dataset, Parts, RunResult, Stopped
from airbench_core.augmentation import flip_mask


@pytest.fixture
def training(noise, cpu, chosen) -> Callable[..., Training]:
    def make(data: Dataset = noise, trainers=None, after_run=lambda result: None, look=None, parts=None, **changed):
        settings = chosen.changed(**changed)
        return Training(settings, lambda: data, cpu, parts or Parts(), trainers or Trainers(), after_run, look)

    return make


def never() -> threading.Event:
    return threading.Event()


@pytest.fixture
def digits(noise) -> Dataset:
    return replace(noise, mirror_changes_class=True)


def test_a_run_for_each_seed_each_handed_over_when_it_is_finished(training):
    handed: list[tuple[RunResult, int]] = []
    one = training(after_run=lambda result: handed.append((result, len(one.results))), seeds=2, first_seed=5)
    results = one(never())
    assert [result.seed for result in results] == [5, 6]
    assert [(result.seed, n) for result, n in handed] == [(5, 1), (6, 2)]
    assert results == one.results
    assert len(one.seconds) == 2
    again = training(first_seed=6)(never())
    assert torch.equal(again[0].predictions["none"], results[1].predictions["none"])  # as if it were run alone


def test_progress_rises_from_0_to_1_and_never_goes_back(training):
    """Also in the moment between two runs, which a panel paints."""
    seen: list[tuple[int, float]] = []

    def look(*_) -> None:
        seen.append((len(one.results), one.run_done(0.3)))

    one = training(seeds=2, look=look, after_run=look)
    assert one.run_done(None) == 0
    one(never())
    look()
    done = [(n + share * (n < 2)) / 2 for n, share in seen]
    assert done == sorted(done)
    assert done[0] == 0
    assert done[-1] == 1
    assert all(share < 1 for n, share in seen if n < 2)
    assert len({round(share, 2) for n, share in seen}) > 15  # it moves at each step


def test_the_final_inference_counts_no_steps_and_still_moves_on_by_the_clock(training):
    one = training()
    one(never())
    at_end = training(trainers=one._trainers)
    at_end._trainer = one._trainer  # its last step is done, its result is not there
    without = at_end.run_done(None)
    first = at_end.run_done(10.0)
    assert 0 < without <= first < 1
    time.sleep(0.05)
    assert first < at_end.run_done(10.0) < 1
    time.sleep(0.05)
    assert without < at_end.run_done(1e-3) < 1  # longer than was thought


def test_time_left_is_by_what_is_known_best(training):
    """What was expected, then the run's own pace, then the runs before it."""
    left: list[tuple[int, float, float | None]] = []
    pace = 0.01

    def look() -> None:
        time.sleep(pace)
        left.append((len(one.results), one.run_done(None), one.seconds_left(1000.0)))

    one = training(seeds=2, look=look)
    assert one.seconds_left(1000.0) is None  # before the first step
    one(never())
    early = [seconds for n, done, seconds in left if n == 0 and 0 < done < 0.1]
    later = [seconds for n, done, seconds in left if n == 0 and done > 0.15]
    second = [seconds for n, _, seconds in left if n == 1]
    assert all(1900 < seconds <= 2000 for seconds in early)
    assert early
    assert all(0 < seconds < 60 for seconds in later)
    first = one.seconds[0]
    assert second[0] == pytest.approx(first, rel=0.1)  # a whole run
    assert second == sorted(second, reverse=True)
    assert one.seconds_left(1000.0) == 0


def test_time_left_is_not_said_where_nothing_is_known(training):
    first = []
    one = training(look=lambda: first.append(one.seconds_left(None)))
    one(never())
    assert first[0] is None
    assert first[-1] is not None


def test_warnings_are_notes_of_every_press_and_not_warnings(training, digits):
    """Also when the trainer is there already; other warnings are none of ours."""
    trainers = Trainers()
    for _ in range(2):
        one = training(digits, trainers)
        one(never())
        (note,) = one.notes
        assert "set flip and tta to none" in note
    plain = training(digits, trainers, flip="none", tta="none")
    plain(never())
    assert plain.notes == ()


def test_one_trainer_is_kept_while_nothing_changes(noise, chosen, cpu):
    trainers = Trainers()
    first = trainers.of(chosen, noise, cpu, Parts())
    assert trainers.of(chosen.changed(seeds=3, first_seed=7, race=True), noise, cpu, Parts()) is first
    own = Parts(flip=lambda *args: flip_mask(*args))
    for others in (
        (chosen.changed(lr=1.0), noise, cpu, Parts()),
        (chosen, replace(noise), cpu, Parts()),
        (chosen, noise, replace(cpu, dtype=torch.bfloat16), Parts()),
        (chosen, noise, cpu, own),
    ):
        kept = trainers.of(chosen, noise, cpu, Parts())
        other = trainers.of(*others)
        assert other is not kept
        assert trainers.of(*others) is other
        assert trainers.of(chosen, noise, cpu, Parts()) is not kept  # only one
    trainers.forget()
    assert trainers.of(chosen, noise, cpu, Parts()) is not kept


def test_there_are_never_two_trainers_in_memory(noise, chosen, cpu, monkeypatch):
    """A GPU that is filled by one has no place for the next."""
    trainers = Trainers()
    trainers.of(chosen, noise, cpu, Parts())

    def failing(*_, **__):
        raise MemoryError

    monkeypatch.setattr("airbench_lab.panel.training.Trainer", failing)
    with pytest.raises(MemoryError):
        trainers.of(chosen.changed(lr=1.0), noise, cpu, Parts())
    assert trainers._last is None


def test_a_race_is_watched_by_nobody(training):
    seen = []
    one = training(race=True, look=lambda: seen.append(one.run_done(None)))
    (result,) = one(never())
    assert one.epochs == ()
    assert all(epoch.accuracy is None for epoch in result.epochs)
    assert seen  # but it can be stopped, and its steps are counted
    assert max(seen) > 0.8


def test_what_is_stopped_leaves_its_complete_epochs_and_the_runs_before_it(training):
    stop = never()

    def look() -> None:
        if len(one.results) == 1 and len(one.epochs) == 2:
            stop.set()

    one = training(seeds=3, look=look)
    with pytest.raises(Stopped) as stopped:
        one(stop)
    assert one.epochs == stopped.value.epochs
    assert [epoch.epoch for epoch in one.epochs] == [1, 2]
    assert [result.seed for result in one.results] == [0]
    assert one.seed == 1
    assert 0.5 < one.run_done(None) < 1  # where it stopped


def test_it_is_looked_at_in_its_own_thread_at_each_step_and_epoch(training):
    seen = []
    one = training(look=lambda: seen.append((threading.current_thread(), len(one.epochs))))
    one(never())
    assert {thread for thread, _ in seen} == {threading.current_thread()}
    steps = 18
    assert len(seen) >= steps + 3
    assert {n for _, n in seen} == {0, 1, 2, 3}
    assert [result.epochs for result in one.results] == [one.epochs]


def test_own_parts_are_what_trains(training):
    asked = []

    def flip(kind: str, epoch: int, first: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        asked.append(epoch)
        return flip_mask(kind, epoch, first, generator)

    (result,) = training(parts=Parts(flip=flip))(never())
    assert asked
    assert result.parts == ("flip",)
