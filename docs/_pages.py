"""Hook of mkdocs: the documents at the root of the project, and the examples, become pages; links work in both places.

A page links to another file by its place in the repository, so that links also work where the sources are read. Here a
link to a document at the root leads to its page, one to an example to its section, and one to any other file of the
project becomes plain text.
"""
# ruff: noqa: INP001 - a hook, not a package

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = "examples.md"
ROOT_PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "SESSION_REUSE_FIX.md": "session-reuse-fix.md",
}
"""Documents at the root of the project, and their pages."""

_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^)\s#]*)(?P<anchor>#[^)\s]*)?\)")
_OUTPUT = re.compile(r"^<!-- test: output -->\n```text$", re.MULTILINE)
_NOTE = re.compile(r"^<!-- test: [^\n]*? -->\n", re.MULTILINE)
_FENCE = re.compile(r"^(```.*?^```)$", re.MULTILINE | re.DOTALL)


def translate(text: str, folder: str, page: str) -> str:
    """Return a document of ``folder`` (of the project) as the page ``page`` (of the site) shows it."""
    text = _NOTE.sub("", _OUTPUT.sub('```text title="Output"', text))
    parts = _FENCE.split(text)
    # Every second part is a block of code.
    parts[::2] = [_LINK.sub(lambda match: _link(match, folder, page), part) for part in parts[::2]]
    return "".join(parts)


def _link(match: re.Match[str], folder: str, page: str) -> str:
    target, anchor = match["target"], match["anchor"] or ""
    if not target or "://" in target or target.startswith("mailto:"):
        return match[0]
    path = posixpath.normpath(posixpath.join(folder, target))
    found = site_target(path)
    if found is None:
        return match["text"]
    url, own_anchor = found
    return f"[{match['text']}]({posixpath.relpath(url, posixpath.dirname(page) or '.')}{anchor or own_anchor})"


def site_target(path: str) -> tuple[str, str] | None:
    """Return the page, and the anchor in it, for a file of the project; None for one that the site does not show."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/"), ""
    if path == "README.md":
        return "index.md", ""
    if path == "examples":
        return EXAMPLES, ""
    if path.startswith("examples/") and path.endswith(".py"):
        return EXAMPLES, f"#{Path(path).stem}"
    return (ROOT_PAGES[path], "") if path in ROOT_PAGES else None


def examples_page() -> str:
    """Return the page of examples: what each is for, and the whole of it."""
    parts = [
        "# Examples\n\nShort programs, each run against simulated hubs by the tests. They stand in the folder `examples`.\n"
    ]
    for path in sorted((ROOT / "examples").glob("*.py")):
        source = path.read_text(encoding="utf-8")
        purpose = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
        parts.append(f"## {path.name} {{ #{path.stem} }}\n\n{purpose}\n\n```python\n{source}```\n")
    return "\n".join(parts)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are no files of ``docs``."""
    from mkdocs.structure.files import File  # noqa: PLC0415 - the tests use this module without mkdocs

    files.append(File.generated(config, EXAMPLES, content=examples_page()))
    for document, page in ROOT_PAGES.items():
        text = (ROOT / document).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=translate(text, "", page)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Translate the links of a page of ``docs``."""
    source = page.file.src_uri
    if page.file.generated_by is not None:
        return markdown
    return translate(markdown, posixpath.join("docs", posixpath.dirname(source)), source)
