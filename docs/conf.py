"""How Sphinx builds these pages: `make docs`. Nothing is fetched, and a warning is an error."""

import importlib.metadata

project = "turnkeeper"
author = "turnkeeper contributors"
project_copyright = "2026, turnkeeper contributors"
version = release = importlib.metadata.version("turnkeeper")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "examples"]
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist", "attrs_inline"]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "description"

smartquotes_action = "qe"  # dashes stay what they are: an option's name begins with two

html_theme = "furo"
html_title = "turnkeeper"
html_copy_source = False
html_show_sourcelink = False
