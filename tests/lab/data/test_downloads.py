"""Downloads from local servers that misbehave in every way that a mirror can."""

import hashlib
import os
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.error import URLError

import pytest
from airbench_lab.data import downloads
from airbench_lab.data.downloads import download

from airbench_core.errors import DataError

DATA = os.urandom(1_000_000)
MD5 = hashlib.md5(DATA).hexdigest()
NOBODY = "http://127.0.0.1:9/file"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        does, asked, start = self.server, self.headers.get("Range"), 0
        does.ranges.append(asked)
        if does.status:
            self.send_error(does.status)
            return
        body = does.body
        if asked and does.ranged:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start + does.shift}-{len(body) - 1}/{len(body)}")
            body = body[start + does.shift :]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) + does.lie))
        self.end_headers()
        self.close_connection = True
        sent = body if does.drop is None else body[: max(0, does.drop - (0 if does.drop_each else start))]
        step = 20_000 if does.pause else len(sent) or 1
        for i in range(0, len(sent), step):
            self.wfile.write(sent[i : i + step])
            does.stop.wait(does.pause)
        if does.stall:
            does.stop.wait(20)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    body, status, ranged, shift, lie = DATA, 0, True, 0, 0
    drop, drop_each, pause, stall = None, False, 0, False

    def handle_error(self, request, client_address):
        pass  # clients leave while we write: that is what is tested


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(downloads, "PAUSE", 0.001)


@pytest.fixture
def serve(monkeypatch):
    """serve(**misbehaviour) starts a server and returns its url; `serve.ranges[url]` are the Range headers it got."""
    monkeypatch.setenv("no_proxy", "*")
    servers = []

    def start(**does) -> str:
        server = Server(("127.0.0.1", 0), Handler)
        vars(server).update(does, stop=threading.Event(), ranges=[])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        url = f"http://127.0.0.1:{server.server_port}/file"
        start.ranges[url] = server.ranges
        return url

    start.ranges = {}
    yield start
    for server, thread in servers:
        server.stop.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "new folder" / "data.bin"


def fetch(target, *urls):
    """Downloads, and sees that the right bytes lie there and nothing half done."""
    download(urls, target, MD5, len(DATA))
    assert target.read_bytes() == DATA
    assert not target.with_name("data.bin.part").exists()


def test_right_file_is_kept_without_asking_anyone_and_a_wrong_one_replaced(serve, target, capsys):
    url = serve()
    fetch(target, url)
    assert "data.bin from 127.0.0.1" in capsys.readouterr().err  # the progress bar
    fetch(target, url)
    assert serve.ranges[url] == [None]
    target.write_bytes(DATA[:-1])
    fetch(target, url)
    assert serve.ranges[url] == [None, None]


def test_dropped_connection_is_resumed_from_the_next_mirror(serve, target):
    first, second = serve(drop=400_000), serve()
    fetch(target, first, second)
    assert serve.ranges == {first: [None], second: ["bytes=400000-"]}


def test_dropped_connections_are_resumed_from_the_only_mirror(serve, target):
    url = serve(drop=400_000, drop_each=True)
    fetch(target, url)
    assert serve.ranges[url] == [None, "bytes=400000-", "bytes=800000-"]


def test_interrupted_download_goes_on_where_it_stopped(serve, target):
    with pytest.raises(DataError):
        fetch(target, serve(drop=250_000))
    url = serve()
    fetch(target, url)
    assert serve.ranges[url] == ["bytes=250000-"]


def test_killed_before_the_renaming_needs_no_server(target):
    target.parent.mkdir()
    target.with_name("data.bin.part").write_bytes(DATA)
    fetch(target, NOBODY)


def test_server_that_ignores_range_is_read_once_from_the_start(serve, target):
    whole = serve(ranged=False)
    fetch(target, serve(drop=400_000), whole)
    assert serve.ranges[whole] == ["bytes=400000-"]


def test_server_that_resumes_elsewhere_is_left(serve, target):
    last = serve()
    fetch(target, serve(drop=400_000), serve(shift=5), last)
    assert serve.ranges[last] == ["bytes=400000-"]


@pytest.mark.parametrize("size", [1_000_000, 1_300_000])
def test_part_with_wrong_bytes_is_dropped(serve, target, size):
    target.parent.mkdir()
    target.with_name("data.bin.part").write_bytes(bytes(size))
    fetch(target, serve())


def test_part_with_a_wrong_start_does_not_condemn_the_mirror(serve, target):
    fetch(target, serve(body=bytes(1_000_000), drop=400_000), serve())


@pytest.mark.parametrize("does", [{"lie": -1000}, {"lie": 1000}, {"body": b"<html>Please log in</html>"}], ids=str)
def test_another_length_is_another_file_of_which_nothing_is_taken(does, serve, target, capsys):
    wrong, good = serve(**does), serve()
    fetch(target, wrong, good)
    assert serve.ranges == {wrong: [None], good: [None]}
    assert "bytes, not 1,000,000" in capsys.readouterr().err


def test_wrong_bytes_are_deleted_and_their_mirror_is_not_asked_again(serve, target):
    wrong, good = serve(body=bytes(1_000_000)), serve(drop=600_000, drop_each=True)
    fetch(target, wrong, good)
    assert serve.ranges == {wrong: [None], good: [None, "bytes=600000-"]}


def test_wrong_bytes_everywhere(serve, target):
    with pytest.raises(DataError, match="wrong bytes"):
        fetch(target, serve(body=b"x" * 1_000_000), serve(body=b""))
    assert not target.exists()
    assert target.with_name("data.bin.part").read_bytes() == b""


@pytest.fixture
def raw():
    """raw(head, body, pause) starts a server that answers with these very bytes, one at a time if there is a pause."""
    servers = []

    def start(head: bytes, body: bytes = b"", pause: float = 0) -> str:
        server, asked = socket.create_server(("127.0.0.1", 0)), []
        servers.append(server)

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:  # closed
                    return
                asked.append(connection.recv(4096))
                with connection, suppress(OSError):
                    for byte in [head[i : i + 1] for i in range(len(head))] if pause else [head]:
                        connection.sendall(byte)
                        time.sleep(pause)
                    while body:
                        connection.sendall(body)
                        time.sleep(pause)

        threading.Thread(target=answer, daemon=True).start()
        start.asked[url := f"http://127.0.0.1:{server.getsockname()[1]}/file"] = asked
        return url

    start.asked = {}
    yield start
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        (HEAD + b"X: " + b"x" * 1000, b"", 0.01),  # each byte in time, and the header never ends
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 1000, b"", 0.01),  # nor the length of a chunk
        (HEAD + b"Content-Length: 1000000\r\n\r\n", b"x", 0.01),  # nor the body
    ],
    ids=["header", "chunk", "body"],
)
def test_one_byte_at_a_time_does_not_hold_anyone(answer, raw, serve, target, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT", 0.3)
    monkeypatch.setattr(downloads, "PATIENCE", 0.3)
    started = time.monotonic()
    fetch(target, raw(*answer), serve())
    assert time.monotonic() - started < 3
    target.unlink()
    with pytest.raises(DataError):  # nor where there is no other
        fetch(target, raw(*answer))
    assert time.monotonic() - started < 9


def test_no_more_is_taken_than_the_file_has(raw, target):
    with pytest.raises(DataError, match="wrong bytes"):
        fetch(target, raw(HEAD + b"\r\n", b"x" * 100_000))  # a body that never ends
    assert target.with_name("data.bin.part").stat().st_size == 0


@pytest.mark.parametrize(
    "head",
    [b"Content-Length: many", b"Content-Length: 1e6", b"Content-Length: -1", b"Content-Length: " + b"9" * 5000,
     b"Content-Length: 1000000\x1b[31m", b"Transfer-Encoding: chunked\r\n\r\nzz"],
    ids=range(6),
)  # fmt: skip
def test_headers_that_are_no_numbers_are_a_failed_mirror(head, raw, serve, target, capsys):
    fetch(target, raw(HEAD + head + b"\r\n\r\n" + DATA[:100]), serve())
    assert "\x1b[31m" not in capsys.readouterr().err


@pytest.mark.parametrize("does", [{}, {"lie": 900_000}], ids=["its own length", "the file's length"])
def test_what_is_there_stays_until_something_longer_comes(does, serve, raw, target):
    """As where a captive portal answers every request by its own page."""
    part = target.with_name("data.bin.part")
    target.parent.mkdir()
    part.write_bytes(DATA[:900_000])
    page = b"<html>Please log in</html>" * 1000
    for url in serve(body=page, ranged=False, **does), raw(HEAD + b"\r\n" + page):
        with pytest.raises(DataError):
            fetch(target, url)
        assert part.read_bytes() == DATA[:900_000]
    good = serve()
    fetch(target, good)
    assert serve.ranges[good] == ["bytes=900000-"]


def test_a_page_without_a_length_leaves_nothing_in_what_another_mirror_goes_on_with(raw, serve, target):
    good = serve()
    fetch(target, raw(HEAD + b"\r\n<html>Please log in</html>"), good)
    assert serve.ranges[good] == [None]


def test_between_tries_there_is_a_pause_and_crumbs_are_no_progress(serve, target, monkeypatch):
    slept = []
    monkeypatch.setattr(downloads, "time", SimpleNamespace(sleep=slept.append, monotonic=time.monotonic))
    crumbs, parts = serve(drop=1000, drop_each=True), serve(drop=300_000, drop_each=True)
    fetch(target, crumbs, parts)
    assert slept == [downloads.PAUSE] * (len(serve.ranges[crumbs]) + len(serve.ranges[parts]) - 2)
    target.unlink()
    with pytest.raises(DataError):
        fetch(target, crumbs)
    assert len(serve.ranges[crumbs]) < 6


def test_stall_moves_on(serve, target, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT", 0.2)
    start, second = time.monotonic(), serve()
    fetch(target, serve(drop=200_000, stall=True), second)
    assert serve.ranges[second] == ["bytes=200000-"]
    assert time.monotonic() - start < 5


def test_slow_mirror_is_left_while_others_remain_and_is_better_than_none(serve, target, monkeypatch):
    monkeypatch.setattr(downloads, "PATIENCE", 0.1)
    monkeypatch.setattr(downloads, "SLOWEST", 1e9)
    slow, fast = serve(pause=0.03), serve()
    fetch(target, slow, fast)
    assert serve.ranges[slow] == [None]
    assert serve.ranges[fast][0].startswith("bytes=")
    target.unlink()
    slow = serve(pause=0.01)
    fetch(target, NOBODY, slow)
    assert serve.ranges[slow] == [None]


def test_all_fail_in_one_line_with_what_each_said(serve, target):
    with pytest.raises(DataError) as caught:
        fetch(target, serve(status=404), serve(drop=1000), NOBODY, "http://no.such.host.invalid/file")
    message = str(caught.value)
    assert "\n" not in message
    for words in ("404", "1,000 of 1,000,000", "127.0.0.1:9", "no.such.host.invalid", MD5, str(target.parent)):
        assert words in message


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_full_disk(serve, target):
    target.parent.mkdir()
    target.with_name("data.bin.part").symlink_to("/dev/full")
    other = serve()
    with pytest.raises(DataError, match=r"new folder \(No space left.*free some space"):
        fetch(target, serve(), other)
    assert serve.ranges[other] == []  # another mirror would not help


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot write to .*AIRBENCH_DATA"):
        fetch(tmp_path / "file" / "data.bin", NOBODY)


def test_certificates_that_are_not_trusted_have_a_remedy_of_their_own(target, monkeypatch):
    """Waiting does not help; the file by hand still does."""

    def untrusted(*_, **__):
        raise URLError(ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] unable to get local issuer"))

    monkeypatch.setattr(downloads, "urlopen", untrusted)
    with pytest.raises(DataError, match=r"SSL_CERT_FILE.*get the file elsewhere") as caught:
        fetch(target, "https://mirror.invalid/file")
    assert "\n" not in str(caught.value)
    assert "again later" not in str(caught.value)


def test_downloads_at_once_share_one(serve, target):
    url = serve(pause=0.01)
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(fetch, target, url) for _ in range(3)]:
            done.result()
    assert serve.ranges[url] == [None]
