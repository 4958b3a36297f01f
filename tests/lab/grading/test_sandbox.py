"""A student's code in its process: what it gives, what it may not do, and what becomes of the rest."""

import os
import socket
import sys
import time
from pathlib import Path

import pytest
import torch
from airbench_lab.grading.limits import landlock_version
from airbench_lab.grading.process import Limits
from airbench_lab.grading.remote import StudentError
from airbench_lab.grading.sandbox import Ended, NotStarted, Sandbox
from airbench_lab.grading.training import Request

from airbench_core import AIRBENCH94

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="submissions are graded on Linux and macOS")
QUICK = Limits(seconds=30, training=30, total=120, processes=3)
SHORT = Limits(seconds=3, training=6, total=60, processes=4)
confined = pytest.mark.skipif(not landlock_version(), reason="this system has no Landlock")


def test_values_and_functions_come_out_as_they_are():
    cells = [
        "import torch\nhalf = 0.5\nones = torch.ones(2, 3)",
        "def twice(x):\n    return 2 * x",
        "_own = 1\nclass A: pass",
    ]
    with Sandbox(cells, QUICK) as sandbox:
        names = sandbox.names()
        assert names["half"] == 0.5
        assert torch.equal(names["ones"], torch.ones(2, 3))
        assert torch.equal(names["twice"](torch.arange(3)), torch.tensor([0, 2, 4]))
        assert names["twice"](x="ab") == "abab"
        assert not {"torch", "_own", "display", "get_ipython"} & set(names)
        assert sandbox.errors == {}


def test_what_a_function_does_in_place_is_done_here():
    with Sandbox(
        ["def clear(a, many):\n    a.zero_()\n    for one in many['these']:\n        one.add_(1)"], QUICK
    ) as sandbox:
        a, b = torch.ones(3), torch.zeros(2)
        assert sandbox.names()["clear"](a, many={"these": [b]}) is None
        assert a.tolist() == [0, 0, 0]
        assert b.tolist() == [1, 1]


def test_errors_are_told_in_a_line_and_the_next_cells_run():
    cells = ["1 / 0", "exit()", "import sys; sys.exit(3)", "this is no python", "%matplotlib inline\n!ls\nlate = 1"]
    cells += [
        "import otter\ngrader = otter.Notebook('x.ipynb')\ngrader.check('q1')",
        "def f(x):\n    raise ValueError('no')",
    ]
    cells += ["def g(x):\n    raise NotImplementedError", "def h(x):\n    return object()"]
    with Sandbox(cells, QUICK) as sandbox:
        names = sandbox.names()
        assert sandbox.errors[0] == "ZeroDivisionError: division by zero (cell 1, line 1)"
        assert sandbox.errors[1] == "the code called exit() with None"
        assert sandbox.errors[2] == "the code called exit() with 3"
        assert sandbox.errors[3].startswith("SyntaxError")
        assert set(sandbox.errors) == {0, 1, 2, 3}
        assert names["late"] == 1
        with pytest.raises(StudentError, match=r"ValueError: no \(cell 7, line 2\)"):
            names["f"](1)
        with pytest.raises(StudentError, match="not written yet"):
            names["g"](1)
        with pytest.raises(StudentError, match="type object cannot be graded"):
            names["h"](1)


def test_the_time_to_start_is_not_the_students():
    # Python's own start-up and the imports take longer than these limits.
    with Sandbox(["good = 1"], Limits(seconds=1, training=1, total=60)) as sandbox:
        assert sandbox.names()["good"] == 1
        assert sandbox.errors == {}


def test_a_machine_that_cannot_start_it_is_told_from_a_fault_of_the_student(monkeypatch):
    with Sandbox(["good = 1"], QUICK, environment={"PYTHONPATH": "/nowhere"}) as sandbox:
        monkeypatch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(NotStarted, match=r"did not start \(status 1\)"):
            sandbox.names()


def test_what_never_ends_is_left_out_and_all_else_goes_on():
    cells = [
        "before = 1",
        "while True: pass",
        "after = 2",
        "def stuck():\n    while True: pass",
        "def good():\n    return 3",
    ]
    started = time.monotonic()
    with Sandbox(cells, SHORT) as sandbox:
        names = sandbox.names()
        assert (names["before"], names["after"]) == (1, 2)
        assert "not done after 6 s" in sandbox.errors[1]
        with pytest.raises(Ended, match="loop that never ends"):
            names["stuck"]()
        with pytest.raises(StudentError, match="loop that never ends"):
            names["stuck"]()  # at once: it is known
        assert names["good"]() == 3
    assert time.monotonic() - started < 60


def test_a_process_that_is_ended_from_within_costs_that_cell_alone():
    with Sandbox(["import os\nos._exit(7)", "good = 1"], QUICK) as sandbox:
        assert sandbox.names()["good"] == 1
        assert sandbox.errors[0] == "the code ended its own process (status 7); this cell was left out"


def test_who_ends_it_again_and_again_is_not_started_for_ever():
    with Sandbox(["import os\nos._exit(7)"] * 9, QUICK) as sandbox, pytest.raises(Ended, match="3 times"):
        sandbox.names()


def test_all_that_it_started_ends_with_it(tmp_path):
    cell = "import subprocess\npid = subprocess.Popen(['sleep', '60']).pid"
    with Sandbox([cell], QUICK) as sandbox:
        pid = sandbox.names()["pid"]
    wait_until_gone(pid)


def test_what_it_leaves_behind_in_a_session_of_its_own_holds_nobody_up():
    # The child of a fork keeps the pipes open, in which the grader would wait for an answer for ever.
    cell = (
        "import os, time\npid = os.fork()\nif pid == 0:\n    os.setsid()\n    time.sleep(60)\n    os._exit(0)\n"
        "open('pid', 'w').write(str(pid))\nos._exit(1)"
    )
    started = time.monotonic()
    with Sandbox([cell, "good = 1"], SHORT) as sandbox:
        assert sandbox.names()["good"] == 1
        pid = int((sandbox.folder / "student" / "pid").read_text())
    assert time.monotonic() - started < 40
    assert "not done after 6 s" in sandbox.errors[0]
    wait_until_gone(pid)


def wait_until_gone(pid):
    """Until a process has ended; a zombie has no command line."""
    deadline, about = time.monotonic() + 5, Path(f"/proc/{pid}/cmdline")
    while about.exists() and about.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_memory_has_an_end_that_is_told():
    cells = ["import torch\ntorch.ones(10**11)", "b = bytearray(10**11)", "good = 1"]
    with Sandbox(cells, QUICK) as sandbox:
        assert sandbox.names()["good"] == 1
        assert "memory" in sandbox.errors[0]
        assert sandbox.errors[1].startswith("MemoryError")


def test_a_megabyte_of_print_fills_nothing():
    with Sandbox(["print('x' * 5_000_000)", "import os\nos.write(2, b'y' * 5_000_000)\ngood = 1"], QUICK) as sandbox:
        assert sandbox.names()["good"] == 1
        assert sandbox.errors == {}
    assert len(sandbox.output) == 20_000


@confined
def test_it_writes_in_its_own_folder_alone(tmp_path):
    (tmp_path / "precious").write_text("as it was")
    cells = [
        "open('here.txt', 'w').write('mine')\ngood = open('here.txt').read()",
        f"open({str(tmp_path / 'precious')!r}, 'w')",
        f"import os\nos.remove({str(tmp_path / 'precious')!r})",
        f"import os\nos.mkdir({str(tmp_path / 'new')!r})",
        f"import os\nos.symlink('/etc', {str(tmp_path / 'link')!r})",
        "import pathlib, airbench_core\npathlib.Path(airbench_core.__file__).write_text('')",
    ]
    with Sandbox(cells, QUICK) as sandbox:
        assert sandbox.names()["good"] == "mine"
        assert set(sandbox.errors) == {1, 2, 3, 4, 5}
        assert all(error.startswith("PermissionError") for error in sandbox.errors.values())
        folder = sandbox.folder
        assert (folder / "student" / "here.txt").exists()
    assert not folder.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
    assert (tmp_path / "precious").read_text() == "as it was"


@confined
def test_it_reads_neither_tests_nor_others_work_nor_secrets(tmp_path, monkeypatch):
    (tmp_path / "hidden.py").write_text("answer = 42")
    monkeypatch.setenv("SECRET_TOKEN", "secret")
    cells = [f"open({str(tmp_path / 'hidden.py')!r}).read()", "import os\nhas = 'SECRET_TOKEN' in os.environ"]
    cells += [f"open({str(Path(__file__))!r}).read()"]
    with Sandbox(cells, QUICK) as sandbox:
        assert sandbox.names()["has"] is False
        assert set(sandbox.errors) == {0, 2}


@confined
def test_it_reaches_no_network_and_no_other_process():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        cells = [f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=2)"]
        cells += [f"import os\nos.kill({os.getpid()}, 0)"] if landlock_version() >= 6 else []
        with Sandbox(cells, QUICK) as sandbox:
            sandbox.names()
            assert all(error.startswith("PermissionError") for error in sandbox.errors.values())
            assert len(sandbox.errors) == len(cells)


TRAINING = """
from airbench_core.tricks.{file} import {function}
calls = []
def mine(*arguments):
    calls.append(1)
    return {function}(*arguments)
def how_often():
    return len(calls)
import airbench_lab.grading.training as t
t.train = lambda *_: t.Trained(1.0, (0.0,), 0.01, "smoke")
"""


@pytest.mark.parametrize(
    ("part", "file", "function", "calls"),
    [
        ("whiten", "whitening", "whitening_filters", 1),
        ("parameter_groups", "bias_scale", "parameter_groups", 1),
        ("flip", "flip", "flip_mask", 2),
        ("lookahead", "lookahead", "lookahead_update_", 2),
    ],
)
def test_a_training_is_the_graders_and_calls_the_students_function(part, file, function, calls):
    with Sandbox([TRAINING.format(file=file, function=function)], Limits(seconds=60, training=120)) as sandbox:
        names = sandbox.names()
        assert sandbox.errors == {}
        one, none = (sandbox.train(Request.of(parts, AIRBENCH94, 5, "smoke")) for parts in ({part: names["mine"]}, {}))
        assert names["how_often"]() >= calls
    assert one.accuracy == none.accuracy < 1  # and not the 1.0 that was claimed
    assert one.seconds > 0.01


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("def mine(images, eps):\n    raise ValueError('no')", r"ValueError: no \(cell 1, line 2\)"),
        ("def mine(images, eps):\n    return 5", "your own whiten must give"),
        ("def mine(images, eps):\n    import os; os._exit(3)", "ended its own process"),
        ("def mine(images, eps):\n    raise NotImplementedError", "not written yet"),
    ],
)
def test_what_a_function_does_wrong_in_a_training_is_told(cell, said):
    with Sandbox([cell], QUICK) as sandbox:
        request = Request.of({"whiten": sandbox.names()["mine"]}, AIRBENCH94, 0, "smoke")
        with pytest.raises(StudentError, match=said):
            sandbox.train(request)
