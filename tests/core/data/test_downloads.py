"""Downloads from local servers that misbehave in every way that a mirror can."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from airbench_core.data import downloads
from airbench_core.data.downloads import cache_folder, download
from airbench_core.errors import DataError

DATA = os.urandom(1_000_000)
MD5 = hashlib.md5(DATA).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        start = 0
        asked = self.headers.get("Range")
        server.ranges.append(asked)
        body = server.body
        if server.status:
            self.send_error(server.status)
            return
        if asked and server.ranged:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start + server.shift}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        body = body[start + server.shift if start else 0 :]
        self.send_header("Content-Length", str(len(body) + server.lie))
        self.end_headers()
        self.close_connection = True
        sent = body if server.drop is None else body[: max(0, server.drop - (0 if server.drop_each else start))]
        step = len(sent) if server.pause == 0 else 20_000
        for i in range(0, len(sent), step or 1):
            self.wfile.write(sent[i : i + step])
            server.stop.wait(server.pause)
        if server.stall:
            server.stop.wait(20)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass  # clients leave while we write: that is what is tested


@pytest.fixture
def serve(monkeypatch):
    """serve(**misbehaviour) starts a server and returns its url; `serve.ranges[url]` are the Range headers it got."""
    monkeypatch.setenv("no_proxy", "*")
    servers = []
    ranges = {}

    def start(
        body=DATA, status=0, ranged=True, shift=0, lie=0, drop=None, drop_each=False, pause=0.0, stall=False
    ) -> str:
        server = Server(("127.0.0.1", 0), Handler)
        vars(server).update(
            body=body, status=status, ranged=ranged, shift=shift, lie=lie, drop=drop, drop_each=drop_each,
            pause=pause, stall=stall, stop=threading.Event(), ranges=[],
        )  # fmt: skip
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        url = f"http://127.0.0.1:{server.server_port}/file"
        ranges[url] = server.ranges
        return url

    start.ranges = ranges
    yield start
    for server, thread in servers:
        server.stop.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "new folder" / "data.bin"


def check(path, target):
    assert path == target
    assert target.read_bytes() == DATA
    assert not target.with_name("data.bin.part").exists()


def test_plain_download(serve, target):
    check(download([serve()], target, MD5), target)


def test_a_file_that_is_right_is_kept_without_asking_anyone(serve, target):
    url = serve()
    download([url], target, MD5)
    download([url], target, MD5)
    assert len(serve.ranges[url]) == 1


def test_a_file_that_is_wrong_is_replaced(serve, target):
    target.parent.mkdir()
    target.write_bytes(DATA[:-1])
    check(download([serve()], target, MD5), target)


def test_dropped_connection_is_resumed_from_the_next_mirror(serve, target):
    first, second = serve(drop=400_000), serve()
    check(download([first, second], target, MD5), target)
    assert serve.ranges == {first: [None], second: ["bytes=400000-"]}


def test_dropped_connections_are_resumed_from_the_only_mirror(serve, target):
    url = serve(drop=300_000, drop_each=True)
    check(download([url], target, MD5), target)
    assert serve.ranges[url] == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_interrupted_download_goes_on_where_it_stopped(serve, target):
    with pytest.raises(DataError):
        download([serve(drop=250_000)], target, MD5)
    assert not target.exists()
    url = serve()
    check(download([url], target, MD5), target)
    assert serve.ranges[url] == ["bytes=250000-"]


def test_killed_before_the_renaming_needs_no_server(serve, target):
    target.parent.mkdir()
    target.with_name("data.bin.part").write_bytes(DATA)
    check(download(["http://127.0.0.1:9/file"], target, MD5), target)


def test_server_that_ignores_range_is_read_from_the_start(serve, target):
    check(download([serve(drop=400_000), serve(ranged=False)], target, MD5), target)


def test_server_that_resumes_elsewhere_is_left(serve, target):
    last = serve()
    check(download([serve(drop=400_000), serve(shift=5), last], target, MD5), target)
    assert serve.ranges[last] == ["bytes=400000-"]


@pytest.mark.parametrize("size", [1_000_000, 1_300_000])
def test_part_with_wrong_bytes_is_answered_with_416_and_dropped(serve, target, size):
    target.parent.mkdir()
    target.with_name("data.bin.part").write_bytes(bytes(size))
    check(download([serve()], target, MD5), target)


def test_part_with_a_wrong_start_does_not_condemn_the_mirror(serve, target):
    check(download([serve(body=bytes(1_000_000), drop=400_000), serve()], target, MD5), target)


def test_length_too_short_is_wrong_bytes_and_too_long_is_forgiven(serve, target, monkeypatch):
    short = serve(lie=-1000)
    check(download([short, serve()], target, MD5), target)
    assert serve.ranges[short] == [None]
    target.unlink()
    monkeypatch.setattr(downloads, "TIMEOUT", 0.5)
    check(download([serve(lie=1000)], target, MD5), target)  # closes early, but all bytes were there
    target.unlink()
    check(download([serve(lie=1000, stall=True)], target, MD5), target)


def test_wrong_bytes_are_deleted_and_their_mirror_is_not_asked_again(serve, target):
    wrong, good = serve(body=b"<html>Please log in</html>"), serve(drop=600_000, drop_each=True)
    check(download([wrong, good], target, MD5), target)
    assert serve.ranges == {wrong: [None], good: [None, "bytes=600000-"]}


def test_wrong_bytes_everywhere(serve, target):
    with pytest.raises(DataError, match="wrong bytes") as caught:
        download([serve(body=b"x" * 1000), serve(body=b"")], target, MD5)
    assert "\n" not in str(caught.value)
    assert [path.name for path in target.parent.iterdir() if path.suffix != ".lock"] == []


def test_stall_moves_on(serve, target, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT", 0.3)
    start = time.monotonic()
    second = serve()
    check(download([serve(drop=200_000, stall=True), second], target, MD5), target)
    assert serve.ranges[second] == ["bytes=200000-"]
    assert time.monotonic() - start < 5


def test_slow_mirror_is_left_while_others_remain(serve, target, monkeypatch):
    monkeypatch.setattr(downloads, "PATIENCE", 0.2)
    monkeypatch.setattr(downloads, "SLOWEST", 10e6)
    slow, fast = serve(pause=0.1), serve()
    check(download([slow, fast], target, MD5), target)
    assert serve.ranges[fast] != [None]  # resumed


def test_slow_mirror_is_all_there_is(serve, target, monkeypatch):
    monkeypatch.setattr(downloads, "PATIENCE", 0.1)
    monkeypatch.setattr(downloads, "SLOWEST", 1e9)
    url = serve(pause=0.02)
    check(download(["http://127.0.0.1:9/file", url], target, MD5), target)
    assert serve.ranges[url] == [None]


def test_all_fail_in_one_line_with_what_each_said(serve, target):
    urls = [serve(status=404), serve(drop=1000), "http://127.0.0.1:9/file", "http://no.such.host.invalid/file"]
    with pytest.raises(DataError) as caught:
        download(urls, target, MD5)
    message = str(caught.value)
    assert "\n" not in message
    for words in ("HTTP 404", "1,000 of 1,000,000", "127.0.0.1:9", "no.such.host.invalid", MD5, str(target.parent)):
        assert words in message


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_full_disk(serve, target):
    target.parent.mkdir()
    target.with_name("data.bin.part").symlink_to("/dev/full")
    other = serve()
    with pytest.raises(DataError, match=r"disk is full.*new folder"):
        download([serve(), other], target, MD5)
    assert serve.ranges[other] == []  # another mirror would not help


def test_folder_that_cannot_be_made(serve, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot write to .*AIRBENCH_DATA"):
        download([serve()], tmp_path / "file" / "data.bin", MD5)


PROCESS = """
import sys, types
package = types.ModuleType("airbench_core")  # without what it imports: torch takes seconds
package.__path__ = [sys.argv[1]]
sys.modules["airbench_core"] = package
from airbench_core.data.downloads import download
print("ready", flush=True)
input()
download([sys.argv[2]], sys.argv[3], sys.argv[4])
"""


def test_two_processes_share_one_download(serve, target):
    url = serve(pause=0.02)
    command = [sys.executable, "-c", PROCESS, str(Path(downloads.__file__).parents[1]), url, str(target), MD5]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert sum("waiting for another process" in error for error in errors) == 1
    check(target, target)
    assert serve.ranges[url] == [None]


def test_progress_in_a_pipe_is_plain_lines(serve, target, capsys):
    download([serve()], target, MD5)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in lines] == ["1.0 MB", "25 %", "50 %", "75 %", "100 %"]


def test_progress_bar_and_silence(serve, target, capsys):
    download([serve()], target, MD5, progress=True)
    assert "\r" in capsys.readouterr().err
    target.unlink()
    download([serve(status=404), serve()], target, MD5, progress=False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("platform", "environ", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/airbench"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/airbench"),
        ("linux", {}, "/home/me/.cache/airbench"),
        ("darwin", {"XDG_CACHE_HOME": "/x"}, "/home/me/Library/Caches/airbench"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/airbench"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="paths are written as POSIX has them")
def test_cache_folder(monkeypatch, platform, environ, expected):
    monkeypatch.setattr(sys, "platform", platform)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **environ}.items():
        monkeypatch.setenv(name, value)
    assert str(cache_folder()) == expected
