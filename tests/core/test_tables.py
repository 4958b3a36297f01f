from dataclasses import replace

from airbench_core import AIRBENCH94, AIRBENCH94_MUON, AIRBENCH96, AIRBENCH96_FASTER, BASELINE, RESNET18, describe, diff


def test_describe_sets_aside_what_has_no_effect():
    def idle(recipe):
        table, _, names = describe(recipe).partition("\n\nwithout effect here: ")
        shown = [line.split()[0] for line in table.splitlines()]
        assert sorted(shown + [name for name in names.split(", ") if name]) == sorted(vars(recipe))
        return names

    assert idle(AIRBENCH94) == "proxy_widths, proxy_every, bias_lr, head_lr, muon_momentum, newton_schulz_steps"
    assert idle(AIRBENCH94_MUON) == "proxy_widths, proxy_every"
    assert idle(AIRBENCH96_FASTER) == "bias_lr, head_lr, muon_momentum, newton_schulz_steps"
    assert idle(BASELINE).startswith("whiten_eps, whiten_bias_zero, proxy_widths")
    assert idle(RESNET18).startswith("depth, residual, first_norm, unit_head, proxy_keep, whiten_eps")


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
