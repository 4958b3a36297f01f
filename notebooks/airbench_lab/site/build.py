"""Builds the site: a folder that mirrors the repository, for as long as Sphinx reads it."""

import json
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from airbench_core import AirbenchError
from airbench_lab.site.explorer import explorer

HERE = Path(__file__).parent
ROOT, PANEL = HERE.parents[2], HERE.parent / "panel"
READ = ("*.ipynb", "*.md", "*.png", "*.py")  # what a page is or shows, or links to
EXPLORED = ("00", "09")  # lessons that hold the explorer too, below their panel
# What Sphinx leaves out for screen readers and keyboards: the level of a heading, a way into what scrolls sideways.
LACKING = {
    r'<p class="caption" role="heading"': ' aria-level="2"',
    r'<pre|<div class="(?:table-wrapper|math-wrapper|output text_html)[^"]*"': ' tabindex="0"',
}
EXPLORER = "```{raw} html\n:file: explorer.html\n```"


def build(out: Path) -> None:
    """Writes the site into the folder `out`. Raises AirbenchError where a page or a link is broken, as Sphinx says."""
    if not (ROOT / "benchmarks" / "README.md").exists():
        raise AirbenchError(
            f"{ROOT} is no clone of the repository, from which the site is made: pip install -e .[site]"
        )
    try:
        from sphinx.cmd.build import build_main
    except ImportError as error:
        raise AirbenchError(f"the site needs {error.name}: pip install -e .[site]") from error

    with TemporaryDirectory() as folder:
        stage(Path(folder), explorer())
        if build_main(["-q", "-W", "--keep-going", "-d", f"{folder}/.doctrees", folder, f"{out}"]):
            raise AirbenchError("the site is not complete: what Sphinx warned of stands above")
    for page in out.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for tag, attribute in LACKING.items():
            text = re.sub(f"({tag})(?=>)", rf"\1{attribute}", text)
        page.write_text(text, encoding="utf-8")


def stage(source: Path, explored: dict[str, Any]) -> None:
    """Puts everything into `source` that Sphinx reads; the lessons with a link to themselves, two with the explorer."""
    for name in "notebooks", "benchmarks":
        for pattern in READ:
            for file in (ROOT / name).rglob(pattern):
                if not {"generated", ".ipynb_checkpoints"} & set(file.parts):
                    _copy(file, source / file.relative_to(ROOT))
    for name, folder in (
        ("conf.py", ""),
        ("index.md", ""),
        ("api.md", ""),
        ("site.css", "static"),
    ):
        _copy(HERE / name, source / folder / name)
    _copy(PANEL / "drawing.css", source / "static" / "drawing.css")
    math_font(source / "static" / "math.woff")
    for folder, lessons in (source, "notebooks/"), (source / "notebooks", ""):
        (folder / "explorer.html").write_text(explorer_html(explored, lessons), encoding="utf-8")
    guide = source / "notebooks" / "assignments" / "README.md"
    linked = guide.read_text(encoding="utf-8")  # to notebooks that are no pages, since they hold the solutions
    guide.write_text(re.sub(r"\]\((\w+\.ipynb)\)", r"](path:\1)", linked), encoding="utf-8")
    for lesson in (source / "notebooks").glob("[0-9]*.ipynb"):
        _copy(lesson, source / "extra" / "notebooks" / lesson.name)
        shown = with_links(json.loads(lesson.read_text(encoding="utf-8")), lesson.name)
        lesson.write_text(json.dumps(shown), encoding="utf-8")


def explorer_html(explored: dict[str, Any], lessons: str) -> str:
    """The explorer as a part of a page that needs nothing else, not even a server. lessons: where their pages are."""
    model = json.dumps({"data": explored, "lessons": lessons}).replace("</", "<\\/")
    mount = "render({ model: { get: (name) => model[name] }, el: document.querySelector('.airbench') });"
    script = f'<script type="module">\n{module()}\nconst model = {model};\n{mount}\n</script>'
    return f'<div class="airbench"></div>\n{script}'


def module() -> str:
    """The explorer's JavaScript, whole."""
    return "\n".join(file.read_text(encoding="utf-8") for file in (PANEL / "drawing.js", HERE / "explorer.js"))


def with_links(notebook: dict[str, Any], name: str) -> dict[str, Any]:
    """The lesson as the site shows it: with a link to download it, and the explorer where it has one."""
    first, *others = notebook["cells"]
    title, rest = "".join(first["source"]).split("\n", 1)
    cells = [{**first, "source": f'{title}\n\n<a href="{name}" download>Download this notebook</a> to run it.\n{rest}'}]
    for cell in others:
        alt = " ".join(filter(None, map(described, cell.get("outputs", []))))
        cells.append({**cell, "metadata": {**cell["metadata"], "mystnb": {"image": {"alt": alt}}}} if alt else cell)
        if name.startswith(EXPLORED) and "panel = Panel(" in "".join(cell["source"]):
            text = f"The panel needs a kernel. Here the recorded runs answer without one:\n\n{EXPLORER}"
            cells.append({"cell_type": "markdown", "id": "explorer", "metadata": {}, "source": text})
    return {**notebook, "cells": cells}


def described(output: dict[str, Any]) -> str:
    """A picture in words; "" of what is none."""
    if "image/png" not in (data := output.get("data", {})):
        return ""
    return output.get("metadata", {}).get("image/png", {}).get("alt") or "".join(data.get("text/plain", ""))


def math_font(to: Path) -> None:
    """STIX Two Math, which ziamath brings, cut to the signs of the lessons: some machines have no font for MathML."""
    import ziamath
    from fontTools.subset import Options, Subsetter
    from fontTools.ttLib import TTFont

    font = TTFont(Path(ziamath.__file__).parent / "fonts" / "STIXTwoMath-Regular.ttf")
    subset = Subsetter(Options(name_IDs=["*"]))  # with its licence
    italics = [*range(0x1D434, 0x1D468), *range(0x1D6E2, 0x1D71C)]  # as which browsers draw variables
    subset.populate(unicodes=[*range(0x20, 0x100), *range(0x391, 0x3CA), *map(ord, "…′←∈−∑√≈≠≤≥⊤⋅⋯"), *italics])
    subset.subset(font)
    font.flavor = "woff"
    font.save(to)


def _copy(file: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, to)
