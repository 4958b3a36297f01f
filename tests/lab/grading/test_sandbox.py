"""A student's code in its process: what it gives, what it may not do, and what becomes of the rest."""

import os
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from airbench_lab.grading import confined
from airbench_lab.grading.process import Limits
from airbench_lab.grading.remote import StudentError
from airbench_lab.grading.sandbox import Ended, NotStarted, Sandbox
from airbench_lab.grading.training import Request

from airbench_core import AIRBENCH94, UsageError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="submissions are graded on Linux and macOS")
QUICK = Limits(seconds=30, training=30, total=120, processes=3)
SHORT = Limits(seconds=3, training=6, total=60, processes=4)
apart = pytest.mark.skipif(confined.namespaces() != "", reason="this system has no namespaces for submissions")


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


def test_errors_are_told_and_the_next_cells_run():
    cells = ["1 / 0", "exit()", "import sys; sys.exit(3)", "this is no python", "raise KeyboardInterrupt", "late = 1"]
    cells += [
        "import otter\ngrader = otter.Notebook('x.ipynb')\ngrader.check('q1')",
        "from airbench_lab.grading.checks import Notebook\ngrader = Notebook('x')\ngrader.check_all()",
        "def f(x):\n    display(x)\n    raise ValueError('no')",
        "def g(x):\n    raise NotImplementedError",
        "def h(x):\n    return object()",
        "def i(x):\n    return ...",
    ]
    with Sandbox(cells, QUICK) as sandbox:
        names = sandbox.names()
        assert sandbox.errors[0] == "ZeroDivisionError: division by zero (cell 1, line 1)"
        assert sandbox.errors[1] == "the code called exit() with None"
        assert sandbox.errors[2] == "the code called exit() with 3"
        assert sandbox.errors[3].startswith("SyntaxError")
        assert sandbox.errors[4] == "KeyboardInterrupt (cell 5, line 1)"
        assert set(sandbox.errors) == {0, 1, 2, 3, 4}
        assert names["late"] == 1
        with pytest.raises(StudentError, match=r"ValueError: no \(cell 9, line 3\)"):
            names["f"](1)
        for nothing in "gi":
            with pytest.raises(StudentError, match="not written yet"):
                names[nothing](1)
        with pytest.raises(StudentError, match="type object cannot be graded"):
            names["h"](1)


def test_cells_run_as_in_a_kernel():
    cells = [
        "%%time\na = 1\n%time b = 2",
        "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
        "!echo three > three.txt\nc = !cat three.txt",
        "%%writefile helper.py\nd = 4",
        "import helper\nd = helper.d",
        "%%bash\necho five",
        "%%capture\nprint('nobody sees this')\ne = 6",
        "import asyncio\nawait asyncio.sleep(0)\nf = 7",
        "%load_ext autoreload\n%autoreload 2\nimport ipywidgets\nipywidgets.IntSlider()",
        "%no_such_magic",
        "%%time\n1 / 0",
    ]
    with Sandbox(cells, QUICK) as sandbox:
        names = sandbox.names()
        assert {name: names[name] for name in "abcdef"} == {"a": 1, "b": 2, "c": ["three"], "d": 4, "e": 6, "f": 7}
        assert set(sandbox.errors) == {9, 10}
        assert "`%no_such_magic` not found" in sandbox.errors[9]
        assert "ZeroDivisionError" in sandbox.errors[10]
        assert "five" in sandbox.printed()
        assert "nobody" not in sandbox.printed()


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


FORGED = """
from airbench_lab.grading import wire
honest = wire.reply
def forged(stream, answer):
    if isinstance(answer.get("ok"), dict):
        answer = {"ok": %s}
    honest(stream, answer)
wire.reply = forged
"""


@pytest.mark.parametrize("names", ["[1, 2]", "5", "{5: 'call'}"])
def test_an_answer_of_another_kind_is_the_end_of_its_process(names):
    with Sandbox([FORGED % names], QUICK) as sandbox, pytest.raises(Ended, match=r"something else.*no names"):
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


def test_all_that_it_started_ends_with_it_and_holds_nobody_up(running):
    # In sessions of their own, without a word in their environment; a fork keeps the grader's pipes open.
    cell = """
import os, subprocess
subprocess.Popen(["sleep", "61.2345"], env={}, start_new_session=True)
if os.fork() == 0:
    os.setsid()
    os.execve("/bin/sleep", ["sleep", "61.2345"], {})
"""
    started = time.monotonic()
    with Sandbox([cell, "import time, os\ntime.sleep(1)\nos._exit(1)", "good = 1"], QUICK) as sandbox:
        assert sandbox.names()["good"] == 1
        while running("61.2345") != 2:  # those of the first process ended with it
            assert time.monotonic() - started < 60
        assert "ended its own process (status 1)" in sandbox.errors[1]
    assert time.monotonic() - started < 60
    assert running("61.2345") == 0


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


@apart
def test_it_changes_nothing_but_its_own_folder(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("as it was")
    cells = [
        "open('here.txt', 'w').write('mine')\nimport os\nos.chmod('here.txt', 0o600)\ngood = open('here.txt').read()",
        f"open({str(precious)!r}, 'w')",
        f"import os\nos.remove({str(precious)!r})",
        f"import os\nos.mkdir({str(tmp_path / 'new')!r})",
        f"import os\nos.symlink('/etc', {str(tmp_path / 'link')!r})",
        f"import os\nos.chmod({str(precious)!r}, 0)",
        f"import os\nos.utime({str(precious)!r}, (0, 0))",
        "import pathlib, airbench_core\npathlib.Path(airbench_core.__file__).write_text('')",
        "import os, airbench_core\nos.chmod(airbench_core.__file__, 0)",
        "import os, airbench_core\nos.utime(airbench_core.__file__, (0, 0))",
    ]
    before = precious.stat()
    with Sandbox(cells, QUICK) as sandbox:
        assert sandbox.names()["good"] == "mine"
        assert set(sandbox.errors) == set(range(1, len(cells)))
        folder = sandbox.folder
    assert not folder.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
    assert precious.read_text() == "as it was"
    assert (before.st_mode, before.st_mtime) == (precious.stat().st_mode, precious.stat().st_mtime)


@apart
def test_it_reads_neither_tests_nor_others_work_nor_secrets(tmp_path, monkeypatch):
    (tmp_path / "hidden.py").write_text("answer = 42")
    monkeypatch.setenv("SECRET_TOKEN", "secret")
    read = [str(tmp_path / "hidden.py"), str(Path(__file__)), "/etc/shadow", f"/proc/{os.getpid()}/environ"]
    cells = [f"open({path!r}).read()" for path in [*read, "/proc/1/environ"]]
    cells += ["import os\nhas = 'SECRET_TOKEN' in os.environ\nuser = os.getuid()", "import os\nos.setuid(0)"]
    with Sandbox(cells, QUICK) as sandbox:
        names = sandbox.names()
        assert names["has"] is False
        assert names["user"] != 0
        assert set(sandbox.errors) == {0, 1, 2, 3, 4, 6}


@apart
def test_it_reaches_no_network_no_socket_and_no_other_process(tmp_path):
    path = str(tmp_path / "socket")
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unix,
    ):
        udp.bind(("127.0.0.1", 0))
        unix.bind(path)
        os.chmod(path, 0o777)
        udp.setblocking(False)
        cells = [
            f"import socket\nsocket.create_connection(('127.0.0.1', {tcp.getsockname()[1]}), timeout=2)",
            f"import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', {udp.getsockname()!r})",
            f"import socket\nsocket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', {path!r})",
            "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)",
            "import socket\nsocket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
            f"import os\nos.kill({os.getpid()}, 0)",
            "import os\nothers = [name for name in os.listdir('/proc') if name.isdigit() and int(name) > 2]",
        ]
        with Sandbox(cells, QUICK) as sandbox:
            assert sandbox.names()["others"] == []
            assert set(sandbox.errors) == {0, 1, 2, 3, 4, 5}
        with pytest.raises(BlockingIOError):
            udp.recv(1)


@apart
def test_its_processes_and_its_files_have_an_end():
    bomb = """
import os, time
started = 0
try:
    while started < 5000:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        started += 1
except OSError as error:
    said = str(error)
"""
    files = """
many = 0
try:
    while many < 100:
        open(f"file {many}", "wb").write(bytes(1_000_000))
        many += 1
except OSError as error:
    full = str(error)
"""
    with Sandbox([bomb, files], replace(QUICK, disk=0.02)) as sandbox:
        names = sandbox.names()
        assert "temporarily unavailable" in names["said"]
        assert names["started"] < 2000
        assert "No space left" in names["full"]
        assert names["many"] == 21


def test_root_is_refused_where_it_cannot_be_dropped(monkeypatch):
    monkeypatch.setattr(confined.os, "geteuid", lambda: 0)
    monkeypatch.setattr(confined, "namespaces", lambda: "not permitted")
    monkeypatch.setattr(confined, "_tried", lambda *_, **__: "PermissionError: no Python for you")
    with pytest.raises(UsageError, match=r"never runs as root.*no Python for you.*ordinary account"):
        confined.holds()
    monkeypatch.setattr(confined, "_tried", lambda *_, **__: "")
    assert not confined.holds()["it changes no rights and dates elsewhere"]


def test_a_system_that_cannot_confine_is_refused_at_the_start_and_gives_no_marks(monkeypatch):
    with Sandbox([], QUICK) as sandbox, monkeypatch.context() as patch:
        patch.setattr(os, "name", "nt")
        patch.delattr(os, "geteuid")
        with pytest.raises(UsageError, match="on Linux and macOS"):
            confined.holds()
        with pytest.raises(NotStarted, match="on Linux and macOS"):
            sandbox.names()


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
