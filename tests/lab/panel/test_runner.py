"""The runs of one press: how far they are, what is left of them, and the one trainer that is kept."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from airbench_lab.panel import runner as runners
from airbench_lab.panel.runner import Progress, Runner, RunningLoss, TrainerCache

from airbench_core import Dataset, Parts, RunResult, Stopped
from airbench_core.tricks.flip import flip_mask


@pytest.fixture
def press(noise, cpu, chosen) -> Callable[..., Runner]:
    def make(data: Dataset = noise, trainers=None, after_run=lambda *_: None, on_step=None, parts=None, **changed):
        settings = chosen.changed(**changed)
        return Runner(settings, lambda: data, cpu, parts or Parts(), trainers or TrainerCache(), after_run, on_step)

    return make


def never() -> threading.Event:
    return threading.Event()


@pytest.mark.trains
def test_a_real_training_is_watched_raced_and_stopped_as_the_pretended_ones_are(press):
    handed: list[tuple[RunResult, float, Progress]] = []
    seen, asked = [], []

    def flip(*args) -> torch.Tensor:
        asked.append(args[1])
        return flip_mask(*args)

    one = press(
        seeds=2,
        first_seed=5,
        parts=Parts(flip=flip),
        after_run=lambda *of: handed.append((*of, one.progress)),
        on_step=lambda: seen.append((threading.current_thread(), one.fraction_done(None), len(one.progress.epochs))),
    )
    results = one(never())
    assert [(result.seed, len(now.results)) for result, _, now in handed] == [(5, 1), (6, 2)]
    assert [(now.seed, now.epochs) for *_, now in handed] == [(None, ())] * 2  # none is in progress
    assert all(seconds > result.seconds for result, seconds, _ in handed)  # the evaluations too
    assert results == one.progress.results
    assert one.progress.seconds == tuple(seconds for _, seconds, _ in handed)
    assert {thread for thread, *_ in seen} == {threading.current_thread()}
    assert len(seen) >= 2 * (18 + 3)  # at each step and epoch
    assert {n for *_, n in seen} == {0, 1, 2, 3}
    done = [share for _, share, _ in seen]
    assert done == sorted(done)
    assert set(asked) == {0, 1, 2}
    again = press(first_seed=6, race=True, on_step=lambda: pytest.fail("looked"))
    (alone,) = again(never())
    assert torch.equal(alone.predictions["none"], results[1].predictions["none"])  # as if it were run alone
    assert again.progress.epochs == ()
    assert [epoch.accuracy for epoch in alone.epochs] == [None] * 3
    stop = never()
    stop.set()
    with pytest.raises(Stopped):
        press(race=True)(stop)


@pytest.mark.trains
def test_warnings_are_notes_of_every_press_and_not_warnings(noise, chosen, cpu):
    """Also when the trainer is there already; other warnings are none of ours."""
    trainers, digits = TrainerCache(), replace(noise, mirror_changes_class=True)
    for _ in range(2):
        trainers.get(chosen, digits, cpu, Parts())
        (note,) = trainers.notes
        assert "set flip and tta to none" in note
    trainers.get(chosen.changed(flip="none", tta="none"), digits, cpu, Parts())
    assert trainers.notes == ()


def test_the_steps_of_a_run_are_not_taken_for_those_of_the_one_before(press, monkeypatch):
    """One thread reads how far it is while in the other the next run begins."""
    one = press(seeds=2)
    one.progress = Progress(seed=0)
    steps = iter([0.0, 0.2])

    def run_fraction(_: float | None) -> float:
        one.progress = Progress((None,), (1.0,), seed=1)
        return next(steps)

    monkeypatch.setattr(
        one, "_run_fraction", lambda seconds: run_fraction(seconds) if not one.progress.results else 0.2
    )
    assert one.fraction_done(None) == 0.6
    assert one.seconds_left(None) == 0.8


def test_what_is_compiled_before_the_first_run_is_in_no_run_s_seconds(press, monkeypatch):
    monkeypatch.setattr(runners.Trainer, "warm_up", lambda trainer: time.sleep(0.5))
    one, start = press(), time.monotonic()
    one(never())
    assert time.monotonic() - start > 0.5 > one.progress.seconds[0]


def test_the_final_inference_counts_no_steps_and_still_moves_on_by_the_clock(press):
    done: list[float] = []

    def look() -> None:
        if one.epochs_text() == "2.97 of 2.97" and not done:
            for seconds, pause in (None, 0), (10.0, 0.05), (10.0, 0.05), (1e-3, 0):  # longer than was thought
                done.append(one.fraction_done(seconds))
                time.sleep(pause)

    one = press(on_step=look)
    one(never())
    assert 0 < done[0] <= done[1] < done[2] < done[3] < 1


def test_time_left_is_by_what_is_known_best(press):
    """Nothing; what was expected; then the run's own pace; then the runs before it."""
    left: list[tuple[int, float, float | None, float | None]] = []

    def look() -> None:
        time.sleep(0.005)
        known = one.seconds_left(1000.0), one.seconds_left(None)
        left.append((len(one.progress.results), one.fraction_done(None) * 2, *known))

    one = press(seeds=2, on_step=look)
    assert one.seconds_left(1000.0) == 2000.0  # before the first step
    one(never())
    early = [about[2:] for about in left if about[0] == 0 and 0 < about[1] < 0.1]
    later = [about[2:] for about in left if about[0] == 0 and about[1] > 0.15]
    second = [about[2] for about in left if about[0] == 1]
    assert early
    assert all(1900 < seconds <= 2000 and nothing is None for seconds, nothing in early)
    assert all(0 < seconds < 60 and nothing is not None for seconds, nothing in later)
    assert second[0] == pytest.approx(one.progress.seconds[0], rel=0.1)  # a whole run
    assert second == sorted(second, reverse=True)
    assert one.seconds_left(1000.0) == 0


def test_one_trainer_is_kept_while_nothing_changes_and_there_are_never_two(noise, chosen, cpu, monkeypatch):
    """A GPU that is filled by one has no place for the next."""
    trainers = TrainerCache()
    first = trainers.get(chosen, noise, cpu, Parts())
    assert trainers.get(chosen.changed(seeds=3, first_seed=7, race=True), noise, cpu, Parts()) is first
    own = Parts(flip=lambda *args: flip_mask(*args))
    for others in (
        (chosen.changed(lr=1.0), noise, cpu, Parts()),
        (chosen, replace(noise), cpu, Parts()),
        (chosen, noise, replace(cpu, dtype=torch.bfloat16), Parts()),
        (chosen, noise, cpu, own),
    ):
        kept = trainers.get(chosen, noise, cpu, Parts())
        other = trainers.get(*others)
        assert other is not kept
        assert trainers.get(*others) is other
    trainers.clear()
    assert trainers.get(*others) is not other

    def failing(*_, **__):
        assert trainers._last is None
        raise MemoryError

    monkeypatch.setattr(runners, "Trainer", failing)
    with pytest.raises(MemoryError):
        trainers.get(chosen, noise, cpu, Parts())


def test_what_is_stopped_leaves_its_complete_epochs_and_the_runs_before_it(press):
    stop, trainers = never(), TrainerCache()

    def look() -> None:
        if len(one.progress.results) == 1 and len(one.progress.epochs) == 2:
            stop.set()

    one = press(seeds=3, on_step=look, trainers=trainers)
    with pytest.raises(Stopped) as stopped:
        one(stop)
    assert one.progress.epochs == stopped.value.epochs
    assert [epoch.epoch for epoch in one.progress.epochs] == [1, 2]
    assert ([result.seed for result in one.progress.results], one.progress.seed) == ([0], 1)
    assert 1.5 / 3 < one.fraction_done(None) < 2 / 3  # where it stopped
    trainers._last[2].steps_done = 0  # whoever runs with it next
    assert one.epochs_text() == "2.0 of 2.97"


def training(steps_per_epoch: int = 4) -> SimpleNamespace:
    """A trainer before its first step, of batches of 10 images."""
    device = SimpleNamespace(device=torch.device("cpu"))
    about = {"batch_size": 10, "steps_per_epoch": steps_per_epoch, "runtime": device}
    return SimpleNamespace(steps_done=0, loss_sum=torch.zeros(()), **about)


def step(trainer: SimpleNamespace, loss: float) -> None:
    if trainer.steps_done % trainer.steps_per_epoch == 0:
        trainer.loss_sum = torch.zeros(())
    trainer.loss_sum += loss * trainer.batch_size
    trainer.steps_done += 1


def test_the_running_loss_is_the_mean_since_the_point_before_or_since_the_epoch_began(monkeypatch):
    monkeypatch.setattr(runners, "LOSS_PAUSE", 0)
    trainer, running = training(), RunningLoss()
    for number, loss in enumerate([4, 2, 3, 1, 8, 6], 1):
        step(trainer, loss)
        if number != 2:  # nobody looked
            running.look(trainer)
    for _ in range(3):  # as during the inference, when no steps are made
        running.look(trainer)
    assert running.points == ((0.25, 4), (0.75, 2.5), (1.25, 8), (1.5, 6))


def test_many_points_become_half_as_many_means(monkeypatch):
    monkeypatch.setattr(runners, "LOSS_PAUSE", 0)
    monkeypatch.setattr(runners, "MOST_LOSSES", 4)
    trainer, running = training(steps_per_epoch=100), RunningLoss()
    for loss in 1, 3, 5, 7, 9, 9:
        step(trainer, loss)
        running.look(trainer)
    assert running.points[:2] == ((0.02, 2), (0.04, 6))


def test_the_loss_is_read_now_and_then(monkeypatch):
    trainer, running = training(steps_per_epoch=1000), RunningLoss()
    started = time.monotonic()
    while time.monotonic() - started < 0.6:
        step(trainer, 1)
        running.look(trainer)
        trainer.steps_done %= 900
        time.sleep(0.001)
    assert 1 <= len(running.points) <= 3


@pytest.mark.trains
def test_a_real_training_shows_its_loss_within_the_epochs_and_a_race_shows_none(press, monkeypatch):
    monkeypatch.setattr(runners, "LOSS_PAUSE", 0)
    one = press()
    (result,) = one(never())
    epochs = [epochs for epochs, _ in one.losses]
    assert epochs == sorted(epochs)
    assert len(epochs) > 3 * 4
    first = [loss for epochs, loss in one.losses if epochs < 1]
    assert sum(first) / len(first) == pytest.approx(result.epochs[0].train_loss, rel=0.2)
    race = press(race=True)
    race(never())
    assert race.losses == ()
