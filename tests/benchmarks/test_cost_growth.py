import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "cost_growth.py"


@pytest.fixture(scope="module")
def cost_growth():
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def recording(cost_growth, seconds, memory):
    """Three rounds with these costs: seconds a function of the FLOPs, memory one of the configuration."""
    runs = []
    for c in cost_growth.CONFIGURATIONS:
        flops = 1e12 * c["width"] ** 2 * c["images"] * c["epochs"]
        costs = {"flops": flops, "seconds": seconds(flops), "seconds_per_step": 0.1, "memory": memory(**c)}
        about = {"runtime": {"name": "a-cpu", "dtype": "float32", "threads": 1}, "versions": {"torch": "2"}}
        runs += [c | costs | about] * 3
    return runs


def linear(width, images, epochs):
    return 1e6 * width * images


def test_linear_costs_pass(cost_growth):
    found = cost_growth.growths(recording(cost_growth, lambda flops: flops / 1e15, linear))
    assert [round(g.exponent, 3) for g in found] == [1, 1, 1, 1, 1, 0, 2]
    assert cost_growth.too_fast(found) == []


def test_a_small_fixed_cost_does_not_hide_what_grows_too_fast(cost_growth):
    found = cost_growth.growths(recording(cost_growth, lambda flops: 0.1 + (flops / 1e15) ** 1.4, linear))
    assert [fault.partition(":")[0] for fault in cost_growth.too_fast(found)] == [
        "seconds against TFLOPs of the training",
        "seconds against training images",
        "seconds against epochs",
    ]


def test_one_disturbed_training_does_not_move_the_exponents(cost_growth):
    runs = recording(cost_growth, lambda flops: flops / 1e15, linear)
    runs[-1] = runs[-1] | {"seconds": 5 * runs[-1]["seconds"]}
    assert all(abs(g.exponent - 1) < 0.01 for g in cost_growth.growths(runs) if g.cost == "seconds")


def test_check_fails_by_the_exit_status(cost_growth, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["cost_growth.py", "--check"])
    for power in (1, 1.3):
        runs = recording(cost_growth, lambda flops: flops / 1e15, lambda power=power, **c: linear(**c) ** power)
        monkeypatch.setattr(cost_growth, "load", lambda runs=runs: runs)
        if power == 1:
            cost_growth.main()
        else:
            with pytest.raises(SystemExit, match="memory, MB against training images: exponent"):
                cost_growth.main()


def test_the_figure_shows_every_growth_that_is_checked(cost_growth):
    picture = cost_growth.figure(recording(cost_growth, lambda flops: flops / 1e15, linear))
    labels = [axes.get_xlabel() for axes in picture.axes]
    assert labels[:3] == ["TFLOPs of the training, by width", "training images", "epochs"]
    assert labels[3:] == ["width, times airbench94's", "training images", "epochs"]


def test_only_the_newest_recording_counts(cost_growth, tmp_path):
    log = tmp_path / "growth.jsonl"
    log.write_text("".join(f'{{"recorded": "{day}", "n": {n}}}\n' for n, day in enumerate("aabb")))
    assert [run["n"] for run in cost_growth.load(log)] == [2, 3]


def test_a_measurement_tells_steps_images_and_inference_apart(cost_growth):
    tiny = {"width": 1 / 8, "images": 250, "epochs": 1}
    run = cost_growth.measure(tiny, "cpu")
    assert {name: run[name] for name in tiny} == tiny
    assert run["steps"] == 1
    assert run["seconds"] > run["seconds_per_step"] > 0
    assert run["seconds_per_image"] == run["seconds_per_step"] / 250
    assert run["memory"] >= 0  # none where this process had more memory before
