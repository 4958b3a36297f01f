"""Sphinx's settings for the site: nothing is fetched, nothing executed. What it reads is put together by build.py."""

import re
from inspect import isfunction

from docutils.nodes import SkipNode, math
from latex2mathml.converter import convert

from airbench_core import __version__

project = "airbench, one trick at a time"
version = release = __version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.githubpages"]
include_patterns = [
    *("index.md", "api.md", "notebooks/[0-9]*.ipynb", "notebooks/which_knob_next.md"),
    *("notebooks/assignments/README.md", "benchmarks/README.md"),
    *("notebooks/airbench_lab/recorded/README.md", "notebooks/airbench_lab/study/README.md"),
]

nb_execution_mode = "off"
nb_ipywidgets_js = {}  # would be fetched; the panel's kept output is a table
nb_merge_streams = True
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
default_role = "literal"  # docstrings have names in single backticks

html_theme = "furo"
html_title = project
html_static_path = ["static"]
html_css_files = ["site.css", "drawing.css"]
html_extra_path = ["extra"]
html_copy_source = False
html_show_sphinx = html_show_copyright = False
html_theme_options = {"top_of_page_buttons": []}

html_math_renderer = "mathml"


def setup(app):
    app.add_html_math_renderer("mathml", inline_renderers=(formula, None), block_renderers=(formula, None))
    app.connect("autodoc-process-docstring", arguments_as_fields)
    app.connect("autodoc-skip-member", no_method)


def formula(translator, node):
    """As MathML, which browsers draw themselves."""
    display = "inline" if isinstance(node, math) else "block"
    translator.body.append(convert(node.astext(), display=display))
    raise SkipNode


def arguments_as_fields(app, what, name, thing, options, lines):
    """This project's docstrings in Sphinx's terms: a paragraph of nothing but `name: ...` is about arguments."""
    blocks = [] if what == "module" else "\n".join(lines).split("\n\n")
    about = re.compile(r"^([a-z_]+(?:, [a-z_]+)*): ", re.MULTILINE)
    for i, block in enumerate(blocks):
        if all(line.startswith(" ") or about.match(line) for line in block.splitlines()) and about.match(block):
            blocks[i] = about.sub(r":\1: ", block)
    lines[:] = "\n\n".join(blocks).split("\n")


def no_method(app, what, name, thing, skip, options):
    """Leaves out functions that are defaults of a class, as in `Parts`: the first argument would be taken for self."""
    return True if what == "class" and isfunction(thing) and "." not in thing.__qualname__ else None
