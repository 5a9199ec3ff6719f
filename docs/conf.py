"""Build the documentation: ``python -m sphinx -W --keep-going docs docs/_build``."""

import sys
import warnings
from pathlib import Path

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml

import skbnn

sys.path.insert(0, str(Path(__file__).parent))
import figures
import scale

project = "skbnn"
author = "the skbnn developers"
copyright = author
version = release = skbnn.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = "py:obj"

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_validation_checks = {"GL06", "GL07", "GL08", "PR01", "PR02", "PR03", "RT01", "SS03"}
# Methods of torch modules are those of the base class, whose docstrings are not ours.
numpydoc_validation_exclude = {r"skbnn\.nn\."}

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "skbnn"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
# A page without pages below it has nothing to show at the left.
html_sidebars = {
    page.stem: [] for page in Path(__file__).parent.iterdir() if page.suffix in (".rst", ".md")
}
html_theme_options = {
    "show_toc_level": 2,
    "header_links_before_dropdown": 4,
    "navbar_align": "left",
    "secondary_sidebar_items": ["page-toc"],
    "navigation_with_keys": False,
}

sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["auto_examples"],
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skbnn",),
    "reference_url": {"skbnn": None},
    "within_subsection_order": "FileNameSortKey",
    "plot_gallery": True,
    "abort_on_example_error": False,
    "show_signature": False,
    "download_all_examples": False,
    "min_reported_time": 0,
}


def skip_inherited(app, what, name, obj, skip, options):
    """Leave out what other packages' documentation describes, such as ``get_params``."""
    module = getattr(obj, "__module__", None) or ""
    return True if module.startswith(("sklearn.", "torch.")) else None


def write_inline(self, node):
    """Write a formula as MathML, which browsers draw by themselves, without a network."""
    self.body.append(tex2mathml(node.astext()))
    raise SkipNode


def write_displayed(self, node):
    """Write a displayed formula as MathML."""
    self.body.append(f'<div class="math">{tex2mathml(node.astext().strip(), as_block=True)}</div>')
    raise SkipNode


def setup(app):
    """Register the functions above, and make the figures that come from the code and results."""
    app.connect("autodoc-skip-member", skip_inherited)
    app.add_html_math_renderer("mathml", (write_inline, None), (write_displayed, None))
    app.connect("builder-inited", figures.make_all, priority=100)
    app.connect("builder-inited", scale.make_all, priority=100)


# A figure that is drawn on a machine without a screen.
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")
