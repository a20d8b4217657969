"""How Sphinx builds the site: `make docs`, warnings as errors.

Pages are the Markdown files beside this one, to be read on a forge too. What only the
site needs is made while building, by the modules in `_site/`: navigation from the lists
of index.md, the API from docstrings. Nothing is loaded from elsewhere, neither while
building nor while reading.
"""

import sys
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from _site import navigation, reference

from coverslip.version import __version__

project = "coverslip"
author = "the coverslip authors"
project_copyright = "the coverslip authors, Apache-2.0"
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_site", "**/.ipynb_checkpoints"]
nitpicky = True
# other projects' objects are named, not linked: their lists would have to be fetched
nitpick_ignore_regex = [(r"py:.*", r"(?!coverslip\.).*")]

myst_heading_anchors = 4
myst_links_external_new_tab = False
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_timeout = 300
nb_merge_streams = True
nb_render_markdown_format = "myst"  # with tables

default_role = "code"  # `name` in a docstring
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"coverslip {version}"
html_static_path = ["_site/static"]
html_css_files = ["coverslip.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}


def setup(app: Sphinx) -> None:
    """Tie in what `_site/` makes."""
    navigation.setup(app)
    reference.setup(app)
