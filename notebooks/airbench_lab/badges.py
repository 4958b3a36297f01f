"""Badges that open the lessons on Colab and on Binder: `make badges REPOSITORY=owner/name [BRANCH=main]`.

They are written into README, between its lines `<!-- badges ... -->` and `<!-- end -->`, and below the title of each
lesson; those of another address are replaced, and REPOSITORY=none takes them away. On Colab a notebook comes without
the repository around it: each lesson also gets a first cell that installs the repository there, and only there.
All else stays as it is, byte for byte. Python's standard library is all that this needs, so that a fork can have its
badges before anything is installed.
"""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
COLAB = "colab"  # the tag of the cell that is for Colab, and its id
LEGAL = re.compile(r"(?!-)[A-Za-z0-9-]{1,39}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}", re.ASCII)
BRANCH = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?", re.ASCII)
PICTURES = {
    "Open in Colab": "https://colab.research.google.com/assets/colab-badge.svg",
    "Launch Binder": "https://mybinder.org/badge_logo.svg",
}
BADGES = re.compile(rf"^.*(?:{'|'.join(map(re.escape, PICTURES.values()))}).*\n\n?", re.MULTILINE)
PLACE = re.compile(r"(^<!-- badges( of all lessons)?\b[^\n]*-->\n).*?(^<!-- end -->$)", re.MULTILINE | re.DOTALL)
# nbclient passes over cells with the second tag, so `make notebooks` leaves the cell as it is written here.
TAGS = [COLAB, "skip-execution"]
CELL = """\
import sys

if "google.colab" in sys.modules:  # Colab opens a notebook without the repository around it
    %pip install -q "airbench @ git+https://github.com/{repository}@{branch}"
    !airbench data cifar10"""


class Address(NamedTuple):
    """Where the repository is on GitHub: `owner/name`, and which branch of it."""

    repository: str
    branch: str

    @classmethod
    def parse(cls, repository: str, branch: str) -> "Address | None":
        """None for the repository "none". Raises ValueError, in one line, for what can be no address."""
        if repository == "none":
            return None
        if not LEGAL.fullmatch(repository):
            raise ValueError(
                f"REPOSITORY={repository} is not owner/name, as in https://github.com/owner/name (none: no badges)"
            )
        if not BRANCH.fullmatch(branch) or ".." in branch:
            raise ValueError(f"BRANCH={branch} is no branch that a badge can name: letters, digits and . _ - are legal")
        return cls(repository, branch)

    def badges(self, lesson: str) -> str:
        """The two badges of a lesson, in one line of Markdown."""
        links = zip(PICTURES.items(), (self.colab(lesson), self.binder(lesson)), strict=True)
        return " ".join(f"[![{name}]({picture})]({link})" for (name, picture), link in links)

    def rows(self, lessons: Iterable[str]) -> str:
        """A line for each of the two, with a link to each lesson."""
        lines = []
        for (name, picture), link in zip(PICTURES.items(), (self.colab, self.binder), strict=True):
            links = " ".join(f"[{lesson[:2]}]({link(lesson)})" for lesson in lessons)
            lines.append(f"![{name}]({picture}) {links}")
        return "\n\n".join(lines)

    def colab(self, lesson: str) -> str:
        return f"https://colab.research.google.com/github/{self.repository}/blob/{self.branch}/notebooks/{lesson}"

    def binder(self, lesson: str) -> str:
        return f"https://mybinder.org/v2/gh/{self.repository}/{self.branch}?urlpath=lab/tree/notebooks/{lesson}"


def for_colab(cell: dict) -> bool:
    """Whether it is the cell that installs the repository on Colab: written here, and never executed elsewhere."""
    return COLAB in cell["metadata"].get("tags", [])


def page(text: str, address: Address | None, lessons: list[str]) -> str:
    """README with the badges of `address`, or with none."""

    def filled(place: re.Match) -> str:
        badges = address and (address.rows(lessons) if place[2] else address.badges(lessons[0]))
        return place[1] + (f"\n{badges}\n\n" if badges else "") + place[3]

    return PLACE.sub(filled, text)


def lesson(text: str, address: Address | None, name: str) -> str:
    """The notebook `name`, of which `text` is the file, with the badges of `address`, or with none."""
    notebook = json.loads(text)
    cells = notebook["cells"] = [cell for cell in notebook["cells"] if not for_colab(cell)]
    header = next(cell for cell in cells if "".join(cell["source"]).startswith("# "))
    given = "".join(header["source"])
    source = BADGES.sub("", given)
    if address:
        source = source.replace("\n\n", f"\n\n{address.badges(name)}\n\n", 1)
        install = CELL.format(**address._asdict()).splitlines(keepends=True)
        about = {"cell_type": "code", "execution_count": None, "id": COLAB, "metadata": {"tags": TAGS}}
        cells.insert(cells.index(header) + 1, {**about, "outputs": [], "source": install})
    if source != given:
        header["source"] = source.splitlines(keepends=True)
    if notebook == json.loads(text):
        return text
    return json.dumps(notebook, ensure_ascii=False, indent=1) + text[len(text.rstrip()) :]


def main(arguments: list[str], root: Path = ROOT) -> int:
    repository, branch = [*arguments, "", ""][:2]
    try:
        address = Address.parse(repository, branch or "main")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    readme, paths = root / "README.md", sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    before = {path: path.read_bytes().decode() for path in [readme, *paths]}
    after = {path: lesson(before[path], address, path.name) for path in paths}
    after[readme] = page(before[readme], address, [path.name for path in paths])
    for path, text in after.items():  # all could be made: now they are written
        if text != before[path]:
            path.write_bytes(text.encode())
    where = f"README.md and {len(paths)} lessons" if PLACE.search(before[readme]) else f"{len(paths)} lessons"
    print(f"{where}: badges of {address.repository}, branch {address.branch}" if address else f"{where}: no badges")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
