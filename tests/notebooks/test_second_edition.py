"""The second edition of the lessons: short, the exercise before its answer, no number or picture from elsewhere.

`SECOND_EDITION` grows until it holds all lessons. A number is what is left of the prose (folded or not) without code,
formulas, links, numbers of lists and what `NAMED` finds. It must be printed by a cell of the lesson, as text or in the
words and table of a figure, or stand in a paragraph, an item of a list or a table that cites a source: [P], [R], [Z]
and so on; a table may be cited by the paragraph above it. Printed is what rounds to it: -2.724 or 0.02724 prints "2.7
points" and "2.7 %", 16,117 prints "16,000". Free are whole numbers up to twelve that are neither percent nor points,
and what the header says of the minutes.
"""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from airbench_lab.exercises import EXERCISES
from airbench_lab.lessons.regimes import DATA, SCALE
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from PIL.PngImagePlugin import PngInfo

SECOND_EDITION = ("00", "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12")
WORDS, NUMBERS = 1800, 60
PARTS = (
    *("## Predict", "## The idea", "## Write it yourself", "## The code that runs", "## Look inside", "## Switch it"),
    *("## Measure it", "## Where it does not help", "## What you have seen", "## Questions"),
)
FOLDED = re.compile(r"<details.*?</details>", re.DOTALL)
NO_PROSE = re.compile(
    r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|</?[a-z][^>]*>|\]\([^)]*\)|https?://\S+|arXiv:\S+", re.DOTALL
)
NAMED = re.compile(r"(?i)(lesson|section|figure|table|question)s? \d+(\.\d+)?((, | and | to )\d+(?!\d|[.,]\d| ?%))*")
ITEM = re.compile(r"\n(?=\s*(?:[-*]|\d+\.|\([a-z]\)) )")
TAG = re.compile(r"<[^>]*>")
SOURCE = re.compile(r"\[[A-Z]\]")
# Not what belongs to a name: CIFAR-10, airbench94, A100, bfloat16.
NUMBER = re.compile(r"(?<![\w.,])(?<![A-Za-z]-)(\d+(?:,\d{3})*(?:\.\d+)?)(?![\w]|[.,]\d)( ?%| points?)?")
FREE = 12
CHECK = re.compile(r"\bcheck\(\s*\"(\w+)\"")
COMMIT = re.compile(r"[0-9a-f]{40}\+?")  # "+": the lessons themselves were changed since


def read(lesson: str) -> nbformat.NotebookNode:
    (path,) = (Path(__file__).parents[2] / "notebooks").glob(f"{lesson}_*.ipynb")
    return nbformat.read(path, as_version=4)


def markdown(notebook: nbformat.NotebookNode) -> Iterator[tuple[int, str]]:
    return ((at, cell.source) for at, cell in enumerate(notebook.cells) if cell.cell_type == "markdown")


def printed(cell: nbformat.NotebookNode) -> str:
    """All that a cell shows in words: text, tables, what figures say of themselves."""
    said = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        said += [
            output.get("text", ""),
            data.get("text/plain", ""),
            re.sub(r"<[^>]*>", "\n", data.get("text/html", "")),
        ]
    return "\n".join(said)


def too_long(notebook: nbformat.NotebookNode) -> list[str]:
    text = FOLDED.sub("", "\n".join(source for _, source in markdown(notebook)))
    counts = {"words": (len(text.split()), WORDS), "numbers": (len(re.findall(r"\d[\d.,]*", text)), NUMBERS)}
    return [f"{count} {what}, at most {most}" for what, (count, most) in counts.items() if count > most]


def blocks(source: str) -> Iterator[str]:
    """Paragraphs, items and tables, of which each is cited or not; a table with the paragraph above it."""
    above = ""
    for part in re.split(r"\n\s*\n", source):
        if part.lstrip().startswith("|"):
            yield re.sub(r"\d", "", above) + part
        else:
            yield from ITEM.split(part)
        above = part


def unfounded(notebook: nbformat.NotebookNode) -> list[str]:
    """The numbers that no cell prints and no source is cited for."""
    shown = "\n".join(printed(cell) for cell in notebook.cells).replace("−", "-")
    known = {abs(float(one.replace(",", ""))) for one in re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?", shown)}
    found = []
    for at, source in markdown(notebook):
        for block in blocks(NO_PROSE.sub(" ", source)):
            if SOURCE.search(block) or block.startswith("**Time:**"):
                continue
            text = NAMED.sub("", re.sub(r"^\s*\d+\. |^#+ \d\d", "", block))
            found += [
                f"{number}{unit} in cell {at}: {' '.join(block.split())[:70]}"
                for number, unit in NUMBER.findall(text)
                if not is_printed(number, unit, known)
            ]
    return found


def is_printed(number: str, unit: str, known: set[float]) -> bool:
    digits = number.replace(",", "")
    value, decimals = float(digits), len(digits.partition(".")[2])
    if not decimals:
        decimals = len(digits.rstrip("0")) - len(digits)  # 16,000: to thousands
    if value <= FREE and "." not in digits and not unit:
        return True
    step = min(0.5 * 10**-decimals, max(0.5, 0.025 * value)) * (1 + 1e-9)
    return any(abs(times * one - value) <= step for one in known for times in ((1, 100) if unit else (1,)))


def answered_first(notebook: nbformat.NotebookNode) -> list[str]:
    """The exercises whose answer, the project's own function, stands on the page before they are first checked."""
    first: dict[str, int] = {}
    for at, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            first |= {name: at for name in CHECK.findall(cell.source) if name not in first}
    pages = [f"{cell.source}\n{printed(cell)}" for cell in notebook.cells]
    answers = {name: [EXERCISES[name], *EXERCISES[name].steps] for name in first}
    return [
        f"def {one.reference.__name__}(...) before {name} is checked in cell {first[name]}"
        for name, exercises in answers.items()
        for one in exercises
        if any(f"def {one.reference.__name__}(" in page for page in pages[: first[name]])
    ]


def from_elsewhere(notebook: nbformat.NotebookNode) -> list[str]:
    """The kept pictures that do not say that they were drawn of the data and at the scale that are recorded."""
    found = []
    for at, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "data:image" in data.get("text/html", ""):
                found.append(f"cell {at}: a picture within HTML, which is lost where HTML is cleaned")
            if "image/png" in data:
                says = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).text
                right = (says.get("data"), says.get("scale")) == (DATA, SCALE)
                if not (right and COMMIT.fullmatch(says.get("commit", ""))):
                    found.append(f"cell {at}: a picture that says {says}")
    return found


@pytest.mark.parametrize("lesson", SECOND_EDITION)
@pytest.mark.parametrize("faults", [too_long, unfounded, answered_first, from_elsewhere])
def test_a_lesson_has_none_of(faults, lesson):
    assert faults(read(lesson)) == []


@pytest.mark.parametrize("lesson", [lesson for lesson in SECOND_EDITION if lesson != "00"])
def test_its_parts_stand_in_their_order_and_a_pass_is_shown(lesson):
    notebook = read(lesson)
    headings = [line for _, source in markdown(notebook) for line in source.splitlines() if line.startswith("## ")]
    assert [part for heading in headings for part in PARTS if heading.startswith(part)] == list(PARTS)
    assert any("All checks passed." in printed(cell) for cell in notebook.cells)


# What follows shows that a lesson which is wrong would be found.


def prose(*sources: str, prints: str = "") -> nbformat.NotebookNode:
    """A lesson of some prose, and a cell that prints."""
    cell = new_code_cell("...", outputs=[new_output("stream", text=prints)])
    return new_notebook(cells=[*map(new_markdown_cell, sources), cell])


def test_a_long_lesson_is_found():
    assert too_long(prose("a " * WORDS + "1 " * NUMBERS)) == ["1860 words, at most 1800"]
    assert too_long(prose("1 " * (NUMBERS + 1) + "<details>" + "a " * WORDS + "</details>")) == [
        f"{NUMBERS + 1} numbers, at most {NUMBERS}"
    ]


@pytest.mark.parametrize(
    ("text", "prints"),
    [
        ("It gains 2.7 points.", "2.61"),
        ("It gains 2.7 points.", ""),
        ("It gains 3 points, 84 % of all.", "0.84"),
        ("There are 2,000 pictures.", "20 2 000 2,100"),
        ("It takes 4.05 epochs.", "4.1"),
        ("First [P].\n\nThen 45 epochs.", ""),
        ("- as in [P]\n- 45 epochs", ""),
        ("Nothing cited here:\n\n| epochs |\n|---|\n| 45 |", ""),
        ("<details>\n\n1. With 45 epochs.\n\n</details>", "1"),
    ],
)
def test_a_number_that_nothing_prints_is_found_with_its_cell(text, prints):
    (fault,) = unfounded(prose("No number.", text, prints=prints))
    assert "in cell 1: " in fault


@pytest.mark.parametrize(
    ("text", "prints"),
    [
        ("It gains 2.7 points, 84 % of the 2,000.", "-2.724 0.8418 2,000"),
        ("The condition number is 16,000, a share 97 %.", "16117 97%"),
        ("Three or 12 of airbench94 on CIFAR-10, an A100, bfloat16; $x^{45}$, `45`, lessons 13 and 14.", ""),
        ("As in [P], 45 epochs.\n\n- [Z] has 34", ""),
        ("The ladder [P]:\n\n| epochs |\n|---|\n| 45 |", ""),
        ("**Time:** 25 minutes.", ""),
    ],
)
def test_a_number_that_is_printed_cited_or_free_is_none(text, prints):
    assert unfounded(prose(text, prints=prints)) == []


def test_an_answer_before_its_exercise_is_found():
    check, again = new_code_cell('mine = check("flip", my_flip)'), new_code_cell('check("flip", flip_mask)')
    answer = new_code_cell("...", outputs=[new_output("stream", text="def flip_mask(flip: str, ...)\n")])
    assert answered_first(new_notebook(cells=[check, answer, again])) == []
    faults = answered_first(new_notebook(cells=[answer, check]))
    assert faults == ["def flip_mask(...) before flip is checked in cell 1"]
    assert answered_first(new_notebook(cells=[new_markdown_cell(answer.outputs[0].text), check])) == faults


def picture(**says: str) -> nbformat.NotebookNode:
    out, info = io.BytesIO(), PngInfo()
    for name, text in says.items():
        info.add_text(name, text)
    Image.new("RGB", (1, 1)).save(out, "png", pnginfo=info)
    shown = {"image/png": base64.b64encode(out.getvalue()).decode()}
    return new_notebook(cells=[new_code_cell("...", outputs=[new_output("display_data", shown)])])


def test_a_picture_from_elsewhere_is_found():
    right = {"data": DATA, "scale": SCALE, "commit": "0123456789" * 4}
    assert from_elsewhere(picture(**right)) == []
    for wrong in {"data": "builtin"}, {"scale": "smoke"}, {"commit": ""}:
        assert len(from_elsewhere(picture(**right | wrong))) == 1
    assert len(from_elsewhere(picture())) == 1
    html = new_output("display_data", {"text/html": '<img src="data:image/png;base64,AAAA">'})
    assert len(from_elsewhere(new_notebook(cells=[new_code_cell("...", outputs=[html])]))) == 1
