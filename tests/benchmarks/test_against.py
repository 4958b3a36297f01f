import json
import re
from pathlib import Path

import against
import pytest
from against import Pairing, Turn, from_record, report, shown, take_turns, to_record
from gpu_state import FACTS, chosen

from airbench_core import AirbenchError, UsageError

# A script of the public kind that trains nothing: run k takes k + 1 "seconds", its accuracy is drawn.
SCRIPT = """import sys, torch
def main(run):
    CifarLoader("cifar10")
    print(f"|{run}|{torch.rand(()).item():.4f}|{1 if run == 'warmup' else run + 1}|")
CifarLoader = str
print("|run|tta_val_acc|time_seconds|")
main("warmup")
[main(run) for run in range(25)]
"""


@pytest.fixture
def script(tmp_path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture
def children(monkeypatch, record) -> list[list[str]]:
    """The commands that would have been started. Ours log runs of 2, 4 ... seconds; a script prints its table."""
    commands = []

    def child(command, what, folder, modules, timeout):
        commands.append(command)
        if "--out" in command:
            runs = range(int(command[command.index("--runs") + 1]))
            lines = [json.dumps(record(accuracy=0.5, seconds=2 * (number + 1))) for number in runs]
            Path(command[command.index("--out") + 1]).write_text("\n".join(lines))
            return ""
        (runs,) = re.findall(r"in range\((\d+)\)", Path(command[1]).read_text())
        return "|run|tta_val_acc|time_seconds|\n" + "\n".join(f"|{run}|0.6|{run + 1}|" for run in range(int(runs)))

    monkeypatch.setattr(against, "_child", child)
    return commands


def pairing(script: Path, **options) -> Pairing:
    return Pairing(ours=("airbench94", "--scale", "smoke"), script=script, data="builtin", **options)


def test_turns_alternate_and_ours_have_seeds_of_their_own(script, children):
    turns = list(take_turns(pairing(script, runs=2, script_args="--a 'b c'"), range(4)))
    assert [turn.side for turn in turns] == ["ours", "script", "ours", "script"]
    assert [turn.seconds for turn in turns] == [(2, 4), (1, 2)] * 2
    assert [command[command.index("--seed") + 1] for command in children[::2]] == ["0", "2"]
    assert [command[2:] for command in children[1::2]] == [["--a", "b c"]] * 2


def test_turns_go_on_where_they_stopped(script, children):
    assert [turn.side for turn in take_turns(pairing(script), range(3, 6))] == ["script", "ours", "script"]


def test_the_first_run_of_a_script_without_a_warm_up_is_left_out(script, children):
    script.write_text(SCRIPT.replace('main("warmup")', '# main("warmup")'))
    (turn,) = take_turns(pairing(script, runs=2), [1])
    assert turn.seconds == (2, 3)


def test_the_script_draws_anew_in_every_turn_and_is_itself_left_alone(script):
    first, second = take_turns(pairing(script, runs=2), [1, 3])
    assert first.seconds == second.seconds == (1, 2)
    assert not set(first.accuracies) & set(second.accuracies)
    assert script.read_text() == SCRIPT
    assert [path.name for path in script.parent.iterdir()] == ["script.py"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "CifarLoader = str",
            "raise SystemExit('no CUDA here')",
            r"turn 1 of .*script.py failed with status 1; .*no CUDA",
        ),
        (
            "|run|tta_val_acc|",
            "|run|val_acc|",
            "printed no table with a column tta_val_acc.*; its last lines: .*\\|5\\|$",
        ),
        ("print(f", "run == 3 or print(f", "4 runs in its table instead of 5"),
        ("CifarLoader = str", "import time; time.sleep(60)", "took longer than 1 s"),
    ],
)
def test_a_script_that_fails_is_one_line_with_what_it_said(script, old, new, message):
    script.write_text(SCRIPT.replace(old, new))
    with pytest.raises(AirbenchError, match=message) as caught:
        list(take_turns(pairing(script, runs=5), [1], timeout=(lambda: 1) if "longer" in message else None))
    assert "\n" not in str(caught.value)


def test_what_cannot_be_started_is_refused_before_anything_runs(script, children, tmp_path):
    with pytest.raises(UsageError, match="runs=0 is not legal"):
        next(take_turns(pairing(script, runs=0), [0]))
    with pytest.raises(UsageError, match=r"cannot read the script .*none\.py: No such file"):
        next(take_turns(pairing(tmp_path / "none.py"), [0]))
    script.write_text(SCRIPT.replace("range(25)", "range(n)"))
    with pytest.raises(UsageError, match="the number of runs"):
        next(take_turns(pairing(script), [0]))
    assert not children


def turn(number: int, accuracies: tuple, seconds: tuple) -> Turn:
    side = ("ours", "script")[number % 2]
    return Turn(turn=number, side=side, accuracies=accuracies, seconds=seconds, wall=9, started=1, gpu=None)


def test_ratios_are_taken_pair_by_pair():
    """The machine was three times slower during the second pair; medians over all turns would say 1.25."""
    turns = [turn(0, (0.5,), (1.0,)), turn(1, (0.7,), (2.0,)), turn(2, (0.6,), (3.0,)), turn(3, (0.7,), (3.0,))]
    told = report([*turns, turn(4, (0.7,), (9.0,))])  # the last pair is not complete
    assert told["ratios"] == [2, 1]
    assert told["median_ratio"] == 1.5
    assert told["ours"]["n"] == 3
    assert told["ours"]["accuracy"] == pytest.approx(0.6)
    assert told["ours"]["interval"] == pytest.approx([0.3516, 0.8484], abs=1e-4)
    assert told["ours"]["median_seconds"] == 3
    assert shown(told).splitlines()[-1].endswith("pair by pair: 2.000, 1.000; median 1.500")


def test_a_single_run_has_no_interval_and_a_single_turn_no_ratio():
    told = report([turn(0, (0.5,), (1.0,))])
    assert "interval" not in told["ours"]
    assert (told["ratios"], told["median_ratio"]) == ([], None)
    assert shown(told) == "ours    accuracy 0.5000, n=1; seconds a run: median 1.000"


def test_a_turn_comes_back_from_a_log():
    one = turn(3, (0.5, 0.6), (1.0, 2.0))
    assert from_record(json.loads(json.dumps(to_record(one) | {"recipe": "airbench94"}))) == one


def test_the_gpu_is_told_by_its_uuid():
    rows = [", ".join([f"GPU-{number}", f"H{number}", *["1"] * (len(FACTS) - 2)]) for number in (11, 22)]
    assert chosen("\n".join(rows), "22")["name"] == "H22"
    assert chosen("\n".join(rows), "33") is None
    assert chosen(rows[0], "33")["name"] == "H11"  # the only one there is
    assert chosen("No devices were found", "22") is None
