"""The page for a student: HTML that says what happened and runs nothing."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from airbench_lab.grading.feedback import page, page_name
from airbench_lab.grading.marking import Check, Marks, Question
from airbench_lab.grading.submissions import CORRUPT, Submission

BAD = "<script>alert(1)</script>&<img src=x onerror=alert(2)>"
ONE = Submission(Path("a.ipynb"), f"{BAD}.ipynb", student=BAD, assignment="adding")
MARKS = Marks(
    (
        Question(
            "q1", 1.0, 3.0, (Check("one", True, False, "Good."), Check("two", False, True, f"first\nsecond {BAD}"))
        ),
        Question("q2", None, 2.0),
    ),
    {3: f"ValueError: {BAD}"},
    f"printed {BAD}" + "x" * 5000,
)


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data):
        self.text += data


def read(text):
    parser = Tags()
    parser.feed(text)
    return parser


def test_all_that_a_submission_says_is_text():
    shown = read(page(ONE, MARKS, BAD))
    assert not {"script", "img"} & set(shown.tags)
    assert shown.text.count(BAD) >= 5
    assert "1 of 3 points, and up to 2 for what your teacher reads" in shown.text
    assert "two (not in your notebook). first\nsecond" in shown.text
    assert "code cell 3: ValueError" in shown.text
    assert len(shown.text) < 4000


def test_what_was_not_graded_says_why():
    shown = read(page(replace(ONE, note=CORRUPT, details="cut off"), None, "cut off"))
    assert "Corrupt notebook: cut off" in shown.text
    assert "points" not in shown.text


def test_names_of_pages_differ_by_student_and_file_and_are_names():
    files = ["a.ipynb", "a.zip", "a/b.ipynb", "a_b.ipynb", "../a.ipynb", "x" * 300, BAD]
    names = {page_name(replace(ONE, student=student, file=file)) for file in files for student in ("ab1", "cd2", BAD)}
    assert len(names) == 21
    assert all("/" not in name and len(name) < 200 and name.endswith(".html") for name in names)
