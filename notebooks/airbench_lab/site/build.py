"""Builds the site: a folder that mirrors the repository, for as long as Sphinx reads it."""

import json
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from airbench_core import AirbenchError
from airbench_lab.site.explorer import explorer

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
READ = ("*.ipynb", "*.md", "*.png", "*.py", "*.csv")  # what a page is or shows, or links to
EXPLORED = ("00", "09")  # lessons that hold the explorer too, below their panel


def build(out: Path) -> None:
    """Writes the site into the folder `out`. Raises AirbenchError where a page or a link is broken, as Sphinx says."""
    if not (ROOT / "benchmarks" / "README.md").exists():
        raise AirbenchError(
            f"the site is made from a clone of the repository, and {ROOT} is none: pip install -e .[site]"
        )
    from sphinx.cmd.build import build_main  # the extra `site`

    with TemporaryDirectory() as folder:
        source = Path(folder)
        stage(source)
        if build_main(["-q", "-W", "--keep-going", "-b", "html", "-d", f"{source}/.doctrees", f"{source}", f"{out}"]):
            raise AirbenchError("the site is not complete: what Sphinx warned of stands above")


def stage(source: Path) -> None:
    """Puts everything into `source` that Sphinx reads; the lessons with a link to themselves, two with the explorer."""
    for name in "notebooks", "benchmarks":
        for pattern in READ:
            for file in (ROOT / name).rglob(pattern):
                if not {"generated", ".ipynb_checkpoints"} & set(file.parts):
                    _copy(file, source / file.relative_to(ROOT))
    guide = source / "notebooks" / "assignments" / "README.md"  # its notebooks are no pages: they hold the solutions
    guide.write_text(re.sub(r"\]\((\w+\.ipynb)\)", r"](path:\1)", guide.read_text(encoding="utf-8")), encoding="utf-8")
    for name in "conf.py", "index.md", "api.md":
        _copy(HERE / name, source / name)
    for name in "site.css", "explorer.css":
        _copy(HERE / name, source / "static" / name)
    (source / "explorer.html").write_text(explorer_html(lessons="notebooks/"), encoding="utf-8")
    (source / "notebooks" / "explorer.html").write_text(explorer_html(lessons=""), encoding="utf-8")
    for lesson in (source / "notebooks").glob("[0-9]*.ipynb"):
        _copy(lesson, source / "extra" / "notebooks" / lesson.name)
        lesson.write_text(json.dumps(with_links(json.loads(lesson.read_text(encoding="utf-8")), lesson.name)))


def explorer_html(lessons: str) -> str:
    """The explorer as a part of a page that needs nothing else, not even a server. lessons: the folder of their pages."""
    values = json.dumps({"data": explorer(), "lessons": lessons}).replace("</", "<\\/")
    module = (HERE / "explorer.js").read_text(encoding="utf-8")
    mount = f"render({{ model: {{ get: (name) => values[name] }}, el: document.querySelector('.airbench') }});"
    return (
        f'<div class="airbench"></div>\n<script type="module">\n{module}\nconst values = {values};\n{mount}\n</script>'
    )


def with_links(notebook: dict, name: str) -> dict:
    """The lesson as the site shows it."""
    first, *others = notebook["cells"]
    title, rest = "".join(first["source"]).split("\n", 1)
    link = f'<a href="{name}" download>Download this notebook</a> to run it.'
    cells = [{**first, "source": f"{title}\n\n{link}\n{rest}"}]
    for cell in others:
        cells.append(cell)
        if name.startswith(EXPLORED) and "panel = Panel(" in "".join(cell["source"]):
            text = "The panel needs a kernel. Here the recorded runs answer without one:\n\n```{raw} html\n:file: explorer.html\n```"
            cells.append({"cell_type": "markdown", "id": "explorer", "metadata": {}, "source": text})
    return {**notebook, "cells": cells}


def _copy(file: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, to)
