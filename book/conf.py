"""The web book: `make book` copies this folder, the notebooks and the README side by side and runs Sphinx on that.

Nothing is executed and nothing is fetched: the outputs are the committed ones, and MathJax comes from its wheel.
`live.py` puts panels into pages, which answer where `browser_python.py` has brought Python for browsers. `links.py` ties
chapters and API pages together, and folds what JupyterLab folds and the code of the cells that only draw.
"""

import sys
from importlib.metadata import files
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "Residual networks, to read and to run"
author = "the resnet_lib authors"
copyright = "the resnet_lib authors, Apache-2.0"
language = "en"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "links", "live"]
root_doc = "index"
exclude_patterns = ["README.md"]  # index.md includes it

nb_execution_mode = "off"
nb_ipywidgets_js = {}  # by default require.js and the widgets' program, from other machines
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
myst_heading_slug_func = "links.anchor"

mathjax_path = "tex-svg.js"
mathjax_options = {"defer": "defer"}
html_static_path = ["_static", *(str(f.locate()) for f in files("sphinx-mathjax-offline") if f.name == mathjax_path)]

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
default_role = "py:obj"  # single backticks in a docstring: a link where the name is one of ours, else plain code

html_theme = "sphinx_book_theme"
html_title = project
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}
html_css_files = ["book.css"]
html_js_files = ["book.js"]
html_copy_source = False
html_use_index = False
html_domain_indices = False
html_show_sphinx = False
html_theme_options = {
    "navbar_persistent": [],
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
