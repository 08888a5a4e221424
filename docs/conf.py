"""How Sphinx builds these pages. `make docs` runs it with every warning an error."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docutils.nodes import Element
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "pytest-taskprogress"
author = "The pytest-taskprogress authors"
project_copyright = f"2026, {author}"
version = release = version_of(project)

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
default_role = "literal"  # docstrings write `code` with single backticks
exclude_patterns = ["_build", "examples"]
html_theme = "furo"
html_title = f"{project} {release}"

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": True}
autodoc_inherit_docstrings = False  # Celery's are written for another Sphinx
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # Attributes are a list in the class's docstring; autodoc has the members
napoleon_attr_annotations = False
napoleon_custom_sections = ["Source"]

# Every name of this package that a page refers to must exist. Names of others cannot be checked
# without their inventories, and a build uses no network: so there is no intersphinx.
_OTHERS = [
    *sys.stdlib_module_names,
    *("amqp", "billiard", "celery", "kombu", "vine"),
    *("_pytest", "pytest", "hypothesis", "taskflow"),
]
nitpick_ignore_regex = [
    (r"py:.*", rf"({'|'.join(map(re.escape, _OTHERS))})(\..*)?"),
    (r"py:(class|obj)", r"pytest_taskprogress\..*\.([A-Z]|_\w+)"),  # type variables; private names
    # What others have, as our code and our docstrings call it.
    (
        r"py:(class|exc)",
        r"(st\.)?SearchStrategy|Invalid(Argument|Definition)|AsyncResult|GroupResult",
    ),
]


def _find_where_documented(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: Element
) -> Element | None:
    """Resolve `package.room.module.Name`, or a bare `Name`, to `package.Name`, the facade's."""
    package, _, name = node.get("reftarget", "").replace(".", ":", 1).rpartition(":")
    if node.get("refdomain") != "py" or package not in {"", "pytest_taskprogress"}:
        return None
    node["refspecific"] = True  # also names that only end so
    name = name.rpartition(".")[2]
    python = env.get_domain("py")
    return python.resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], name, node, content
    )


def _keep_prose(_app: Sphinx, what: str, *args: Any) -> None:  # noqa: ANN401 - Sphinx's
    """Put an empty type first, or napoleon takes what stands before a colon in prose for one."""
    lines: list[str] = args[-1]
    if what in {"attribute", "data", "property"} and lines:
        lines[0] = f": {lines[0]}"
    for index, heading in enumerate(lines[:-1], start=1):
        if heading.strip() in {"Returns:", "Yields:"}:
            text = lines[index].lstrip()
            lines[index] = lines[index].removesuffix(text) + f": {text}"


def _make_signature_parse(*args: Any) -> tuple[str | None, str | None]:  # noqa: ANN401 - as above
    """Write `...` for a dataclass's `<factory>`, which is no Python."""
    signature, returns = args[-2:]
    return signature and signature.replace("<factory>", "..."), returns


def setup(app: Sphinx) -> None:
    """Register what this file adds to Sphinx."""
    app.connect("missing-reference", _find_where_documented)
    app.connect("autodoc-process-docstring", _keep_prose, priority=400)  # napoleon has 500
    app.connect("autodoc-process-signature", _make_signature_parse)
