"""The limits of a process of an ordinary user, with namespaces and without: in a Python that all may run."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from airbench_lab.grading import confined
from airbench_lab.grading.confinement import landlock

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has these limits")
NOBODY = 65_534
PYTHON = next((python for python in ("/usr/bin/python3", "/usr/local/bin/python3") if os.path.exists(python)), None)
HOSTILE = """
import json, os, socket, subprocess
said = {}
def tried(name, what):
    try:
        what()
        said[name] = "done"
    except Exception as error:
        said[name] = type(error).__name__
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
tried("udp", lambda: udp.sendto(b"x", ("127.0.0.1", 9)))
tried("tcp", lambda: socket.create_connection(("127.0.0.1", 9), timeout=1))
tried("chmod", lambda: os.chmod(os.path.abspath(PRECIOUS), 0))
tried("utime", lambda: os.utime(PRECIOUS, (0, 0)))
tried("write", lambda: open(PRECIOUS, "w"))
tried("read", lambda: open(PRECIOUS).read())
tried("own file", lambda: open("mine", "w").write("x"))
tried("root", lambda: os.setuid(0))
said["user"] = os.getuid()
subprocess.Popen(["sleep", "64.321"], env={}, start_new_session=True, stdout=subprocess.DEVNULL)
print(json.dumps(said), flush=True)
os._exit(7)
"""


@pytest.fixture
def open_folder():
    """A folder that every account may read: pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="airbench-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(PYTHON is None, reason="no Python that all accounts may run")
@pytest.mark.parametrize("apart", [True, False])
def test_an_ordinary_user_is_held_too(apart, open_folder, running):
    if apart and confined.namespaces():
        pytest.skip(confined.namespaces())
    root = os.geteuid() == 0
    user = NOBODY if root else os.geteuid()
    shutil.copytree(confined.SCRIPT, open_folder / "confinement", ignore=shutil.ignore_patterns("__pycache__"))
    code, own, precious = (open_folder / name for name in ("code", "own", "precious"))
    code.mkdir()
    own.mkdir()
    precious.write_text("as it was")
    (code / "hostile.py").write_text(HOSTILE.replace("PRECIOUS", repr(str(precious))))
    if root:
        os.chown(own, user, user)
        os.chown(precious, user, user)
    before = precious.stat()
    limits = {"memory": 1 << 33, "file_size": 1 << 20, "cpu_seconds": 60, "processes": 4000}
    asked = {"namespaces": apart, "user": user, "limits": limits, "folder": str(own), "devices": [], "disk": 1 << 20}
    asked |= {"grader": os.getpid(), "read": [*confined.SYSTEM, str(code)], "lists": [str(code)]}
    done = subprocess.run(
        [PYTHON, "-s", str(open_folder / "confinement"), json.dumps(asked), "hostile"],
        env={"PYTHONPATH": str(code), "PATH": os.environ["PATH"]},
        cwd=open_folder,
        capture_output=True,
        text=True,
        check=False,
        **({"user": user, "group": user, "extra_groups": []} if root else {}),
    )
    assert done.returncode == 7, done.stderr
    said = json.loads(done.stdout)
    assert said["own file"] == "done"
    assert said["user"] == user
    assert said["root"] != "done"
    if apart or landlock.version():
        assert said["read"] != "done"
        assert precious.read_text() == "as it was"
    if apart:
        assert {said[name] for name in ("udp", "chmod", "utime")} == {"OSError", "FileNotFoundError"}
        assert (before.st_mode, before.st_mtime) == (precious.stat().st_mode, precious.stat().st_mtime)
    assert "done" not in (said["tcp"], said["write"])
    deadline = time.monotonic() + 5
    while running("64.321"):  # it ended with the process that started it
        assert time.monotonic() < deadline


GRADER = """
from airbench_lab.grading.sandbox import Sandbox
with Sandbox(["import subprocess\\nsubprocess.run(['sleep', '66.543'])"]) as sandbox:
    sandbox.names()
"""


def test_all_ends_with_a_grader_that_is_killed(open_folder, running):
    grader = subprocess.Popen([sys.executable, "-c", GRADER], env=os.environ | {"TMPDIR": str(open_folder)})
    deadline = time.monotonic() + 60
    while not running("66.543"):
        assert grader.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    grader.kill()
    grader.wait()
    deadline = time.monotonic() + 10
    while running("66.543"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
