import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from airbench_lab.runlog import lines

from airbench_core import AirbenchError

RECORDS = [{"seed": seed, "data": {"name": "a \n ü }"}, "epochs": [{"loss": -0.5}], "cuda": None} for seed in range(4)]

posix = pytest.mark.skipif(sys.platform == "win32", reason="forks, and kills by signals")


def append_all(log, records):
    for values in records:
        lines.append(log, values, "it")


def test_what_is_appended_is_loaded_in_its_order(tmp_path, capsys):
    log = tmp_path / "log.jsonl"
    append_all(log, RECORDS)
    assert lines.load(log) == RECORDS
    assert [json.loads(line) for line in log.read_text().splitlines()] == RECORDS
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]  # no lock is left lying about
    assert capsys.readouterr().err == ""


def test_a_log_cut_off_at_any_byte_loses_only_the_line_that_was_cut(tmp_path, capsys):
    log, torn = tmp_path / "log.jsonl", tmp_path / "log.jsonl.torn"
    append_all(log, RECORDS[:3])
    whole = log.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for cut in range(start, len(whole)):
        log.write_bytes(whole[:cut])
        kept = RECORDS[: 3 if cut == len(whole) - 1 else 2]  # there only the end of the line is missing
        half = start < cut < len(whole) - 1
        assert lines.load(log) == kept
        assert log.read_bytes() == whole[:cut]  # reading changes nothing
        assert capsys.readouterr().err == f"{log}, line 3: not a whole record, left out\n" * half

        lines.append(log, RECORDS[3], "it")
        moved = f"{log}: its last line was cut off while it was written; moved to {torn}\n"
        assert capsys.readouterr().err == moved * half
        assert [json.loads(line) for line in log.read_text().splitlines()] == [*kept, RECORDS[3]]
        if half:
            assert torn.read_bytes() == whole[start:cut] + b"\n"
            torn.unlink()
        assert not torn.exists()


@pytest.mark.parametrize(
    "garbage", [bytes(4), b"\xff\xfe{", b'"text"', b"12", b"[1]", b"\r", b"[" * 200_000], ids=lambda of: str(of[:9])
)
def test_bytes_that_are_no_object_are_left_out(garbage, tmp_path, capsys):
    """As where a disk lost its power, or a line was cut off before there was a log that sets it aside."""
    log = tmp_path / "log.jsonl"
    append_all(log, RECORDS[:1])
    log.write_bytes(log.read_bytes() + garbage + b"\n" + log.read_bytes() + garbage)
    assert lines.load(log) == [RECORDS[0]] * 2
    assert capsys.readouterr().err == f"{log}, line 2 and 1 more: not a whole record, left out\n"
    append_all(log, RECORDS[1:2])
    assert lines.load(log) == [RECORDS[0], RECORDS[0], RECORDS[1]]
    assert (tmp_path / "log.jsonl.torn").read_bytes() == garbage + b"\n"


def test_a_log_with_nothing_in_it_and_one_that_is_not_there(tmp_path, capsys):
    lines.check_writable(tmp_path / "new.jsonl")
    assert lines.load(tmp_path / "new.jsonl") == []
    assert capsys.readouterr().err == ""
    with pytest.raises(AirbenchError, match=r"^cannot read the run log .*no.jsonl: No such file"):
        lines.load(tmp_path / "no.jsonl")


def test_a_log_that_cannot_be_written_is_known_beforehand(tmp_path):
    with pytest.raises(AirbenchError, match=r"cannot write the run log .*no/such/folder"):
        lines.check_writable(tmp_path / "no/such/folder")


def test_a_line_waits_for_its_turn_and_is_then_on_the_disk(tmp_path, monkeypatch):
    log, synced = tmp_path / "log.jsonl", []
    append_all(log, RECORDS[:1])
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(log.read_bytes()), fsync(file)))
    with log.open("a+b", buffering=0) as held, lines._locked(held):
        held.write(b'{"half')  # of a line that is still being written, not a torn one
        waiting = threading.Thread(target=append_all, args=(log, RECORDS[1:2]))
        waiting.start()
        time.sleep(0.2)
        assert waiting.is_alive()
        held.write(b'": 2}\n')
    waiting.join(10)
    assert lines.load(log) == [RECORDS[0], {"half": 2}, RECORDS[1]]
    assert synced == [log.read_bytes()]
    assert not (tmp_path / "log.jsonl.torn").exists()


FOREIGN = {
    "a notebook": b'{\n "cells": []\n}\n',
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "a text": b"accuracy 0.94",
    "numbers": b"[1]\n",
    "an empty line": b"\n",
    "one line of a Python dict": b'{"a": True, "b": [1,2]}',
    "one line that is no UTF-8": '{"a": "\u00e9"}'.encode("latin-1"),
    "brackets without an end": b'{"a":' * 200,
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_file_that_does_not_begin_as_a_log_is_left_as_it_is(content, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(content)
    for write in lines.check_writable, lambda path: lines.append(path, RECORDS[0], "it is done"):
        with pytest.raises(AirbenchError, match=r"file: it is not a log, since its first line is no record"):
            write(file)
    assert file.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_where_half_a_line_cannot_be_set_aside_is_said_before_a_run(tmp_path):
    log = tmp_path / "log.jsonl"
    append_all(log, RECORDS[:1])
    log.write_bytes(log.read_bytes() + b'{"half')
    (tmp_path / "log.jsonl.torn").mkdir()
    with pytest.raises(AirbenchError, match="cannot write the run log"):
        lines.check_writable(log)
    (tmp_path / "log.jsonl.torn").rmdir()
    lines.check_writable(log)
    assert lines.load(log) == RECORDS[:1]
    assert (tmp_path / "log.jsonl.torn").read_bytes() == b'{"half\n'


def test_a_log_whose_first_line_was_cut_off_is_a_log(tmp_path):
    log = tmp_path / "log.jsonl"
    append_all(log, RECORDS[:1])
    whole = log.read_bytes()
    for cut in range(1, len(whole) - 1):
        log.write_bytes(whole[:cut])
        assert lines.load(log) == []
        append_all(log, RECORDS[1:2])
        assert lines.load(log) == RECORDS[1:2]


def special_files(folder):
    os.mkfifo(folder / "pipe")
    return [folder / "pipe", folder, Path("/dev/null"), Path("/dev/full")]


@posix
def test_what_is_no_file_is_refused_at_once(tmp_path):
    for path in special_files(tmp_path):
        with pytest.raises(AirbenchError, match=rf"cannot write the run log {path}: it is no file; name another"):
            lines.check_writable(path)
    for path in (Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(AirbenchError, match=rf"cannot read the run log {path}: it is a device"):
            lines.load(path)


@posix
@pytest.mark.parametrize("file", ["log", "/dev/stdout"])
def test_a_log_does_not_lie_where_the_output_goes(file, tmp_path):
    """Else what is printed would be written over what is logged."""
    code = "import sys, pathlib, airbench_lab.runlog.lines as it; it.check_writable(pathlib.Path(sys.argv[1]))"
    with (tmp_path / "log").open("wb") as out:
        done = subprocess.run(
            [sys.executable, "-c", code, file], stdout=out, stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )
    assert done.stderr.endswith(f"what is printed goes to {file}: name another file for the log\n")


@pytest.mark.parametrize("content", [bytes(range(256)) * 50, b"word\n" * 12_345], ids=["bytes", "text"])
def test_a_file_of_garbage_is_one_line_with_a_count(content, tmp_path, capsys):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(AirbenchError) as error:
        lines.load(tmp_path / "file")
    n = content.count(b"\n") + (not content.endswith(b"\n"))
    assert str(error.value) == f"{tmp_path / 'file'} is not a log: none of its {n:,} line(s) is a record"
    assert capsys.readouterr().err == ""


CLAIM = """
import os, sys
from pathlib import Path
from airbench_core import AirbenchError
from airbench_lab.runlog import lines
os.umask(0o077)
try:
    with lines.claimed(Path(sys.argv[1])):
        print("mine", flush=True)
        sys.stdin.read()
except AirbenchError as error:
    print(error)
"""


def test_one_process_at_a_time_plans_by_a_log(tmp_path):
    """Whatever its temporary folder and its name for the log, until the other one ends or is killed."""
    log, alias = tmp_path / "log.jsonl", tmp_path / "alias"
    alias.symlink_to(log)

    def claim(name, number):
        folder = tmp_path / f"temporary {number}"
        folder.mkdir()
        command = [sys.executable, "-c", CLAIM, name]
        env = os.environ | {"TMPDIR": str(folder)}
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    first = claim(log, 1)
    assert first.stdout.readline() == "mine\n"
    said, _ = claim(alias, 2).communicate(timeout=60)
    assert said == f"another process is at work on {log}: wait for it, or name another file\n"
    append_all(log, RECORDS[:1])  # who only appends may do so
    first.kill()
    first.communicate()
    third = claim(log, 3)
    assert third.stdout.readline() == "mine\n"
    third.communicate(timeout=60)
    assert (tmp_path / "log.jsonl.lock").stat().st_mode & 0o666 == 0o666  # for other users, whatever the umask
    with pytest.raises(AirbenchError, match=r"cannot write the run log .*no/log"), lines.claimed(tmp_path / "no/log"):
        pass


def test_a_disk_that_fills_up_in_a_line_leaves_the_log_as_it_was(tmp_path):
    resource = pytest.importorskip("resource")
    log = tmp_path / "log.jsonl"
    append_all(log, RECORDS[:2])
    before = log.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))  # Python ignores the signal
    try:
        with pytest.raises(AirbenchError, match="File too large; make room"):
            lines.append(log, RECORDS[2], "it is done")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert log.read_bytes() == before


WRITERS = """
import os, sys
from pathlib import Path
from airbench_lab.runlog import lines
log = Path(sys.argv[1])
for writer in range(4):
    if os.fork() == 0:
        for n in range(25):
            lines.append(log, {"writer": writer, "n": n, "text": str(writer) * 400_000}, "it")
        os._exit(0)
sys.exit(any(os.wait()[1] for _ in range(4)))
"""


@posix
def test_processes_that_append_at_once_do_not_mix_their_lines(tmp_path, capfd):
    """Lines so long that another process sees them while they are being written."""
    log = tmp_path / "log.jsonl"
    subprocess.run([sys.executable, "-c", WRITERS, log], check=True)
    found = lines.load(log)
    assert all(values["text"] == str(values["writer"]) * 400_000 for values in found)
    for writer in range(4):
        assert [values["n"] for values in found if values["writer"] == writer] == list(range(25))
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]
    assert capfd.readouterr().err == ""


# Without the wait for the disk, which a kill does not need, most of the time goes into writing.
KILLED = """
import itertools, os, signal, sys, time
from pathlib import Path
from airbench_lab.runlog import lines
os.fsync = lambda file: None
log, acknowledged = Path(sys.argv[1]), os.open(sys.argv[2], os.O_CREAT | os.O_APPEND | os.O_WRONLY)
for turn in range(30):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        for n in itertools.count():
            lines.append(log, {"turn": turn, "n": n, "text": "x" * 1_000_000}, "it")
            os.write(acknowledged, f"{turn} {n}\\n".encode())
            os.write(write, b".")
    os.read(read, 1)  # the first line is written
    end = time.perf_counter() + turn * 1e-4
    while time.perf_counter() < end:
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


@posix
def test_a_process_killed_while_it_writes_loses_nothing_that_was_logged(tmp_path, capfd):
    log, acknowledged = tmp_path / "log.jsonl", tmp_path / "acknowledged"
    subprocess.run([sys.executable, "-c", KILLED, log, acknowledged], check=True)
    lines.append(log, {"turn": 30, "n": 0}, "it")
    torn = tmp_path / "log.jsonl.torn"
    cut_off = torn.read_bytes().splitlines() if torn.exists() else []
    assert capfd.readouterr().err.count("moved to") <= len(cut_off)  # the kill may come before it is said
    runs = [(values["turn"], values["n"]) for values in lines.load(log)]
    assert capfd.readouterr().err == ""
    assert {tuple(map(int, line.split())) for line in acknowledged.read_text().splitlines()} <= set(runs)
    for turn in range(31):
        ours = [n for other, n in runs if other == turn]
        assert ours == list(range(len(ours)))
    assert all(line.startswith(b'{"turn"'[: len(line)]) for line in cut_off)
