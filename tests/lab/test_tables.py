from dataclasses import replace

from airbench_lab.tables import describe, diff

from airbench_core import AIRBENCH94, AIRBENCH96


def test_describe_lists_every_field_once_in_columns():
    lines = describe(AIRBENCH94).splitlines()
    assert [line.split()[0] for line in lines] == list(vars(AIRBENCH94))
    (flip,) = (line for line in lines if line.startswith("flip "))
    assert flip.split()[1:4] == ["alternating", "horizontal", "flips"]
    assert flip.index("alternating") == lines[0].index("airbench")


def test_diff_shows_the_fields_that_differ_side_by_side():
    table = diff(AIRBENCH94, AIRBENCH96)
    assert {row[0]: row[1:3] for row in table.rows} == {
        "widths": ("64x256x256", "128x384x512"),
        "depth": ("2", "3"),
        "residual": ("false", "true"),
        "batchnorm_momentum": ("0.6", "0.9"),
        "translate": ("2", "4"),
        "cutout": ("0", "12"),
        "epochs": ("9.9", "37.0"),
        "lr": ("11.5", "9.0"),
        "weight_decay": ("0.0153", "0.012"),
        "lr_peak_at": ("0.23", "0.1"),
        "lr_end": ("0.07", "0.0"),
    }
    lines = str(table).splitlines()
    assert lines[0].split()[:3] == ["field", "airbench94", "airbench96"]
    assert len({line.index(cell) for line, cell in zip(lines[1:], [row[2] for row in table.rows], strict=True)}) <= 2
    assert repr(table) == str(table)


def test_diff_as_a_table_in_a_notebook():
    table = diff(AIRBENCH94, replace(AIRBENCH94, flip="random"))
    page = table._repr_html_()
    assert (table.a, table.b) == ("airbench94", "second")
    assert "&lt;b&gt;" in replace(table, b="<b>")._repr_html_()
    assert page.count("<tr>") == 2
    assert "alternating" in page
    assert "random" in page


def test_equal_recipes():
    table = diff(replace(AIRBENCH94, lr=1), replace(AIRBENCH94, lr=1))
    assert table.rows == ()
    assert str(table) == table._repr_html_() == "first and second are the same"
