import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from airbench_lab.panel.training import Moment, Trainers, Training

from airbench_core import Dataset, Parts, RunResult, Stopped, Trainer
from airbench_core.tricks.flip import flip_mask


@pytest.fixture
def training(noise, cpu, chosen) -> Callable[..., Training]:
    def make(data: Dataset = noise, trainers=None, after_run=lambda *_: None, look=None, parts=None, **changed):
        settings = chosen.changed(**changed)
        return Training(settings, lambda: data, cpu, parts or Parts(), trainers or Trainers(), after_run, look)

    return make


def never() -> threading.Event:
    return threading.Event()


@pytest.fixture
def digits(noise) -> Dataset:
    return replace(noise, mirror_changes_class=True)


def test_a_run_for_each_seed_each_handed_over_when_it_is_finished(training):
    handed: list[tuple[RunResult, float, Moment]] = []
    one = training(after_run=lambda *of: handed.append((*of, one.moment)), seeds=2, first_seed=5)
    results = one(never())
    assert [result.seed for result in results] == [5, 6]
    assert [(result.seed, len(now.results)) for result, _, now in handed] == [(5, 1), (6, 2)]
    assert [(now.seed, now.epochs) for *_, now in handed] == [(None, ())] * 2  # none is in progress
    assert all(seconds > result.seconds for result, seconds, _ in handed)  # the evaluations too
    assert results == one.moment.results
    assert one.moment.seconds == tuple(seconds for _, seconds, _ in handed)
    again = training(first_seed=6)(never())
    assert torch.equal(again[0].predictions["none"], results[1].predictions["none"])  # as if it were run alone


def test_progress_rises_from_0_to_1_and_never_goes_back(training):
    """Also in the moment between two runs, which a panel paints."""
    done: list[float] = []

    def look(*_) -> None:
        done.append(one.done(0.3))

    one = training(seeds=2, look=look, after_run=look)
    assert one.done(None) == 0
    one(never())
    look()
    assert done == sorted(done)
    assert done[0] == 0
    assert done[-2:] == [1, 1]
    assert done.count(0.5) > 1  # after the first run, and when the second begins
    assert len({round(share, 2) for share in done}) > 30  # it moves at each step


def test_the_steps_of_a_run_are_not_taken_for_those_of_the_one_before(training, monkeypatch):
    """One thread reads how far it is while in the other the next run begins."""
    one = training(seeds=2)
    one.moment = Moment(seed=0)
    steps = iter([0.0, 0.2])

    def run_done(_: float | None) -> float:
        one.moment = Moment((None,), (1.0,), seed=1)
        return next(steps)

    monkeypatch.setattr(one, "_run_done", lambda expected: run_done(expected) if not one.moment.results else 0.2)
    assert one.done(None) == 0.6
    assert one.seconds_left(None) == 0.8


def test_how_many_epochs_were_made_in_words(training, monkeypatch):
    seen: list[str] = []
    one = training(seeds=2, look=lambda: seen.append(one.epochs_done()), after_run=lambda *_: seen.append("over"))
    assert one.epochs_done() == "0.0 of 2.97"
    one(never())
    first, second = seen[: seen.index("over")], seen[seen.index("over") + 1 : -1]
    assert first == second  # the second from 0 on again
    assert first[0] == "0.0 of 2.97"
    assert first[-1] == "2.97 of 2.97"  # not 3.0
    assert "1.2 of 2.97" in first
    assert one.epochs_done() == "2.97 of 2.97"
    after = []
    one = training(seeds=2, after_run=lambda *_: after.append(one.epochs_done()))
    one(never())
    assert after == ["0.0 of 2.97", "2.97 of 2.97"]  # between two, of the next


def test_what_is_compiled_before_the_first_run_is_in_no_run_s_seconds(training, monkeypatch):
    warm_up = Trainer.warm_up

    def slow(trainer: Trainer) -> None:
        if not hasattr(trainer, "slept"):
            trainer.slept = time.sleep(1.5)
        warm_up(trainer)

    monkeypatch.setattr(Trainer, "warm_up", slow)
    training()(never())  # what torch does but once
    one = training(after_run=lambda *_: None)
    start = time.monotonic()
    one(never())
    assert time.monotonic() - start > 1.5 > one.moment.seconds[0]


def test_the_final_inference_counts_no_steps_and_still_moves_on_by_the_clock(training):
    done: list[float] = []

    def look() -> None:
        if one.epochs_done() != "2.97 of 2.97" or done:
            return
        done.extend([one.done(None), one.done(10.0)])
        time.sleep(0.05)
        done.append(one.done(10.0))
        time.sleep(0.05)
        done.append(one.done(1e-3))  # longer than was thought

    one = training(look=look)
    one(never())
    assert 0 < done[0] <= done[1] < done[2] < done[3] < 1


def test_time_left_is_by_what_is_known_best(training):
    """What was expected, then the run's own pace, then the runs before it."""
    left: list[tuple[int, float, float | None]] = []
    pace = 0.01

    def look() -> None:
        time.sleep(pace)
        left.append((len(one.moment.results), one.done(None) * 2, one.seconds_left(1000.0)))

    one = training(seeds=2, look=look)
    assert one.seconds_left(1000.0) == 2000.0  # before the first step
    one(never())
    early = [seconds for n, done, seconds in left if n == 0 and 0 < done < 0.1]
    later = [seconds for n, done, seconds in left if n == 0 and done > 0.15]
    second = [seconds for n, _, seconds in left if n == 1]
    assert all(1900 < seconds <= 2000 for seconds in early)
    assert early
    assert all(0 < seconds < 60 for seconds in later)
    first = one.moment.seconds[0]
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
    asked: list[float] = []

    def flip(*args) -> torch.Tensor:
        asked.append(one.done(None))
        return flip_mask(*args)

    one = training(race=True, look=lambda: pytest.fail("looked"), parts=Parts(flip=flip))
    (result,) = one(never())
    assert one.moment.epochs == ()
    assert all(epoch.accuracy is None for epoch in result.epochs)
    assert asked == sorted(asked)  # but its steps are counted, and it can be stopped
    assert asked[-1] > 0.5
    stop = never()
    stop.set()
    with pytest.raises(Stopped):
        training(race=True)(stop)


def test_what_is_stopped_leaves_its_complete_epochs_and_the_runs_before_it(training):
    stop = never()

    def look() -> None:
        if len(one.moment.results) == 1 and len(one.moment.epochs) == 2:
            stop.set()

    one = training(seeds=3, look=look)
    with pytest.raises(Stopped) as stopped:
        one(stop)
    assert one.moment.epochs == stopped.value.epochs
    assert [epoch.epoch for epoch in one.moment.epochs] == [1, 2]
    assert [result.seed for result in one.moment.results] == [0]
    assert one.moment.seed == 1
    assert 1.5 / 3 < one.done(None) < 2 / 3  # where it stopped
    assert one.epochs_done() == "2.0 of 2.97"
    one._trainers._last[2].steps_done = 0  # whoever runs with it next
    assert one.epochs_done() == "2.0 of 2.97"


def test_it_is_looked_at_in_its_own_thread_at_each_step_and_epoch(training):
    seen = []
    one = training(look=lambda: seen.append((threading.current_thread(), len(one.moment.epochs), one.moment.epochs)))
    one(never())
    assert {thread for thread, *_ in seen} == {threading.current_thread()}
    steps = 18
    assert len(seen) >= steps + 3
    assert {n for _, n, _ in seen} == {0, 1, 2, 3}
    assert [result.epochs for result in one.moment.results] == [seen[-1][2]]


def test_own_parts_are_what_trains(training):
    asked = []

    def flip(kind: str, epoch: int, first: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        asked.append(epoch)
        return flip_mask(kind, epoch, first, generator)

    (result,) = training(parts=Parts(flip=flip))(never())
    assert asked
    assert result.parts == ("flip",)
