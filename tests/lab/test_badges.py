"""Badges are written, replaced and taken away; all else stays, byte for byte. On Colab a lesson installs itself."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from airbench_lab import badges
from airbench_lab.refresh import refresh, stripped
from IPython.core.interactiveshell import InteractiveShell

ROOT = Path(__file__).parents[2]
README = """\
# A title

<!-- badges: said by make badges -->
<!-- end -->

Text, with a picture that is no badge: ![x](docs/x.png)

<!-- badges of all lessons -->
<!-- end -->

<!-- laptop table: benchmarks/laptop_table.py -->
| a | b |
<!-- end -->
"""
HEADER = "# 00 · Start\n\n**You will** see a ∑.\n\n**You need** nothing."
COLAB = "https://colab.research.google.com/github/owner/name/blob/main/notebooks/00_start.ipynb"
BINDER = "https://mybinder.org/v2/gh/owner/name/main?urlpath=lab/tree/notebooks/00_start.ipynb"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "README.md").write_text(README, encoding="utf-8")
    for name in "00_start", "01_next":
        cells = [nbformat.v4.new_markdown_cell(HEADER), nbformat.v4.new_code_cell("print(1 + 1)")]
        notebook = stripped(nbformat.v4.new_notebook(cells=cells))
        text = nbformat.writes(notebook) + "\n"
        (tmp_path / "notebooks" / f"{name}.ipynb").write_text(text, encoding="utf-8")
    return tmp_path


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(root.rglob("*.*"))}


def test_badges_stand_in_readme_and_below_each_title(root):
    assert badges.main(["owner/name"], root) == 0
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert readme.count(f"[![Open in Colab]({badges.PICTURES['Open in Colab']})]({COLAB})") == 1
    assert readme.count(f"[![Launch Binder]({badges.PICTURES['Launch Binder']})]({BINDER})") == 1
    assert f"[00]({COLAB}) [01]({COLAB.replace('00_start', '01_next')})" in readme
    assert f"[00]({BINDER}) [01]({BINDER.replace('00_start', '01_next')})" in readme
    title, line, *rest = nbformat.read(root / "notebooks" / "00_start.ipynb", 4).cells[0].source.split("\n\n")
    assert [title, *rest] == HEADER.split("\n\n")
    pictures = badges.PICTURES.values()
    assert re.findall(r"\(([^()]+)\)", line) == [
        part for both in zip(pictures, (COLAB, BINDER), strict=True) for part in both
    ]


def test_the_same_twice_is_the_same_and_another_address_replaces_it(root):
    badges.main(["owner/name"], root)
    once = contents(root)
    badges.main(["owner/name", "main"], root)
    assert contents(root) == once
    badges.main(["some-class/its.fork", "autumn-2026"], root)
    assert not any(b"owner/name" in content for content in contents(root).values())
    badges.main(["owner/name"], root)
    assert contents(root) == once


def test_none_takes_them_away_and_leaves_all_else_byte_for_byte(root, capsys):
    before = contents(root)
    badges.main(["none"], root)
    assert contents(root) == before
    badges.main(["owner/name"], root)
    assert contents(root) != before
    badges.main(["none"], root)
    assert contents(root) == before
    assert capsys.readouterr().out.splitlines()[-1] == "README.md and 2 lessons: no badges"


def test_what_another_program_wrote_keeps_its_order_and_its_text(root):
    """Neither the order of the keys nor what is no badge is this tool's."""
    path = root / "notebooks" / "00_start.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    notebook = {"metadata": notebook["metadata"], "extra": "é", **notebook}
    path.write_text(json.dumps(notebook, ensure_ascii=False, indent=1), encoding="utf-8")
    before = path.read_bytes()
    badges.main(["owner/name"], root)
    badges.main(["none"], root)
    assert path.read_bytes() == before


def test_a_readme_without_the_lines_is_left_alone(root, capsys):
    (root / "README.md").write_text("# Ours\n", encoding="utf-8")
    badges.main(["owner/name"], root)
    assert (root / "README.md").read_text(encoding="utf-8") == "# Ours\n"
    assert capsys.readouterr().out == "2 lessons: badges of owner/name, branch main\n"


@pytest.mark.parametrize(
    "repository",
    ["", "name", "owner/", "/name", "owner/name/more", "https://github.com/owner/name", "o wner/name", "-o/n", "o/..",
     "owner/name\n", "o/n)(x", "öwner/name"],
)  # fmt: skip
def test_what_is_no_repository_is_refused_in_one_line_and_nothing_is_written(root, capsys, repository):
    before = contents(root)
    assert badges.main([repository], root) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "owner/name" in said.err
    assert contents(root) == before


@pytest.mark.parametrize("branch", ["feature/x", "a b", "-b", "a..b", "b)", 'b"', "b\n"])
def test_a_branch_that_no_badge_can_name_is_refused(root, capsys, branch):
    before = contents(root)
    assert badges.main(["owner/name", branch], root) == 2
    assert "BRANCH=" in capsys.readouterr().err
    assert contents(root) == before


def test_nothing_is_written_when_a_lesson_cannot_be_read(root):
    (root / "notebooks" / "01_next.ipynb").write_text("{", encoding="utf-8")
    before = contents(root)
    with pytest.raises(ValueError, match="Expecting"):
        badges.main(["owner/name"], root)
    assert contents(root) == before


@pytest.fixture
def calls(root, monkeypatch):
    """Executes a lesson's cell for Colab; what it asks of the shell."""
    badges.main(["owner/name", "autumn"], root)
    cell = nbformat.read(root / "notebooks" / "00_start.ipynb", 4).cells[1]

    def run(on_colab: bool) -> list[str]:
        shell, asked = InteractiveShell(), []
        monkeypatch.setattr(shell, "run_line_magic", lambda name, line, *rest, **more: asked.append(f"%{name} {line}"))
        monkeypatch.setattr(shell, "system", lambda line: asked.append(f"!{line}"))
        monkeypatch.delitem(sys.modules, "google.colab", raising=False)
        if on_colab:
            monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
        shell.run_cell(cell.source).raise_error()
        return asked

    yield run
    InteractiveShell.clear_instance()


def test_on_colab_the_first_code_cell_installs_the_repository_and_fetches_the_pictures(calls):
    assert calls(on_colab=True) == [
        '%pip install -q "airbench @ git+https://github.com/owner/name@autumn"',
        "!airbench data cifar10",
    ]


def test_anywhere_else_it_does_nothing(calls):
    assert calls(on_colab=False) == []


def test_a_lesson_with_badges_that_is_executed_again_keeps_them_and_its_numbers(root):
    badges.main(["owner/name"], root)
    path = root / "notebooks" / "00_start.ipynb"
    refresh(path)
    executed = path.read_text(encoding="utf-8")
    assert badges.lesson(executed, badges.Address("owner/name", "main"), path.name) == executed
    _, for_colab, code = nbformat.read(path, 4).cells
    assert badges.for_colab(for_colab)
    assert (for_colab.id, for_colab.execution_count, for_colab.outputs) == ("colab", None, [])
    assert (code.id, code.execution_count, code.outputs[0].text) == ("cell-01", 1, "2\n")


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")), ids=lambda path: path.stem)
def test_the_lessons_themselves_take_badges_and_give_them_back(path):
    given = badges.lesson(path.read_text(encoding="utf-8"), None, path.name)
    bare = nbformat.writes(stripped(nbformat.reads(given, 4))) + "\n"
    address = badges.Address("owner/name", "main")
    text = badges.lesson(bare, address, path.name)
    assert badges.lesson(text, address, path.name) == text
    assert badges.lesson(text, None, path.name) == bare
    notebook = nbformat.reads(text, 4)
    nbformat.validate(notebook)
    assert nbformat.writes(stripped(nbformat.reads(text, 4))) == nbformat.writes(notebook)
    assert notebook.cells[0].source.startswith(f"# {path.name[:2]} · ")
    assert [badges.for_colab(cell) for cell in notebook.cells[:3]] == [False, True, False]


def test_readme_has_both_places():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [bool(place[2]) for place in badges.PLACE.finditer(readme)] == [False, True]


def test_it_runs_before_anything_is_installed(root):
    """By a Python without the project's packages: -S leaves them out."""
    script = root / "notebooks" / "airbench_lab" / "badges.py"
    script.parent.mkdir()
    script.write_bytes(Path(badges.__file__).read_bytes())
    done = subprocess.run(
        [sys.executable, "-S", script, "owner/name", ""], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout == "README.md and 2 lessons: badges of owner/name, branch main\n"
