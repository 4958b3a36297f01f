"""A JupyterLab server and a Chromium for tests that click like a reader.

Both live for a test file, since starting them costs seconds; every test gets a fresh `page`. (Not longer: while
Playwright lives, its event loop counts as running in this thread, and the notebook tests need their own.)
Nothing of the user's own Jupyter settings is read, and nothing is left running.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SERVER_START_SECONDS = 60
SERVER_STOP_SECONDS = 20

# What the tests change in JupyterLab, by plugin: no question about news over the page, and all cells in the
# page at once (by default those out of sight are taken out of it, and a test could not look at them).
LAB_SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
}


@dataclass(frozen=True)
class JupyterServer:
    """A running JupyterLab: its address, its token, and the folder it serves (a copy of notebooks/)."""

    url: str
    token: str
    folder: Path

    def lab_url(self, notebook: str) -> str:
        """The address that opens `notebook` (a path below `folder`) in an otherwise empty JupyterLab."""
        return f"{self.url}/lab/tree/{notebook}?reset&token={self.token}"

    def end_kernels(self) -> None:
        """Each holds a gigabyte, and stays when its page is closed."""
        for kernel in json.loads(self.ask("GET", "/api/kernels")):
            self.ask("DELETE", f"/api/kernels/{kernel['id']}")

    def ask(self, method: str, path: str) -> bytes:
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(self.url + path, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read()


@pytest.fixture(scope="session")
def chromium_path(unavailable) -> str:
    """The system's Chromium; without one the test is skipped, or fails where AIRBENCH_REQUIRE says browser."""
    found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if found is None:
        unavailable("browser", f"no Chromium is on PATH (looked for {', '.join(CHROMIUM_NAMES)})")
    return found


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    args = ["--no-sandbox"] if running_as_root() else []  # Chromium's sandbox refuses to start as root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=args)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A new page; how it looked at the end is saved in the folder that AIRBENCH_SCREENSHOTS names, if any."""
    page = browser.new_page(viewport={"width": 1280, "height": 1600})
    yield page
    if folder := os.environ.get("AIRBENCH_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{request.node.name}.png")
    page.close()
    if "jupyter" in request.fixturenames:
        request.getfixturevalue("jupyter").end_kernels()


@pytest.fixture(scope="module")
def jupyter(chromium_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """JupyterLab on a copy of notebooks/, at the smoke scale. Asks for Chromium first: no server in vain."""
    home = tmp_path_factory.mktemp("jupyter")
    folder = home / "notebooks"
    shutil.copytree(NOTEBOOKS, folder, ignore=shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__"))
    for notebook in folder.rglob("*.ipynb"):
        clear_outputs(notebook)
    for plugin, settings in LAB_SETTINGS.items():
        file = home / "config" / "lab" / "user-settings" / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings))

    server = JupyterServer(f"http://127.0.0.1:{free_port()}", secrets.token_hex(16), folder)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--ServerApp.root_dir={folder}"]
    command += [f"--ServerApp.port={server.url.rpartition(':')[2]}", "--ServerApp.port_retries=0"]
    command += [f"--IdentityProvider.token={server.token}"]
    command += ["--allow-root"] if running_as_root() else []
    own_folders = {
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
    }
    environment = os.environ | own_folders | {"AIRBENCH_SCALE": "smoke"}
    log = home / "server.log"
    with log.open("wb") as output, stopped_at_the_end(command, environment, output) as process:
        wait_until_ready(server, process, log)
        yield server


def clear_outputs(path: Path) -> None:
    """Takes the stored outputs out of a notebook, so that what a test sees was made while it watched."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    path.write_text(json.dumps(notebook), encoding="utf-8")


def running_as_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def stopped_at_the_end(command: list[str], environment: dict[str, str], output) -> Iterator[subprocess.Popen]:
    """Runs `command`; at the end no process of it is left.

    Kernels are in process groups of their own, so the group cannot be killed in one go: the server is asked
    to stop (it then ends its kernels), and what is still there afterwards is killed one by one.
    """
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
    )
    try:
        yield process
    finally:
        family = []
        if process.poll() is None:
            server = psutil.Process(process.pid)
            family = server.children(recursive=True)
            server.terminate()
            try:
                process.wait(SERVER_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        _, left = psutil.wait_procs(family, timeout=5)
        for straggler in left:
            straggler.kill()


def wait_until_ready(server: JupyterServer, process: subprocess.Popen, log: Path) -> None:
    """Returns when the server answers; fails with the end of its log if it does not."""
    deadline = time.monotonic() + SERVER_START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            server.ask("GET", "/api/status")
            return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start; the end of its log:\n{log.read_text()[-2000:]}")
