"""Check a built site: nothing in it is loaded from another host, and no link within it is dead.

usage: python docs/_check.py FOLDER
"""
# ruff: noqa: INP001, T201 - a program, not a package, and it prints

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "link": "href",
}
"""Elements that make a browser fetch something, and where they say what."""
_CSS_LOADS = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])(?P<url>[^'\")\s]+)")


class Page(HTMLParser):
    """The ids, links and loads of one page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self._in_style = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of an element."""
        given = dict(attrs)
        self._in_style = tag == "style"
        self.ids.update(value for name in ("id", "name") if (value := given.get(name)))
        if tag == "a" and (href := given.get("href")):
            self.links.append(href)
        if tag in LOADS and (url := given.get(LOADS[tag])):
            # A canonical or next link is read by nobody but search engines, but it must not be dead either.
            (self.links if given.get("rel") in ("prev", "next") else self.loads).append(url)
        if style := given.get("style"):
            self.loads += _css(style)

    def handle_data(self, data: str) -> None:
        """Take note of what a style sheet in the page loads."""
        if self._in_style:
            self.loads += _css(data)


def _css(text: str) -> list[str]:
    return [match["url"] for match in _CSS_LOADS.finditer(text)]


def check(site: Path) -> list[str]:
    """Return what is wrong, a line for each."""
    pages = {path.resolve(): Page(path) for path in sorted(site.rglob("*.html"))}
    wrong = [] if pages else [f"{site}: there is no page"]
    for path, page in pages.items():
        where = path.relative_to(site.resolve())
        # The page for what is not found may be shown anywhere; its links start at the root.
        root = site if where.name == "404.html" else path.parent
        for url in page.loads:
            if _is_foreign(url):
                wrong.append(f"{where}: loads {url}")
            elif not url.startswith("data:") and not _target(root, path, url)[0].is_file():
                wrong.append(f"{where}: loads {url}, which is not there")
        for url in page.links:
            if urlsplit(url).scheme or url.startswith("//"):
                continue
            target, fragment = _target(root, path, url)
            if not target.is_file():
                wrong.append(f"{where}: dead link {url}")
            elif fragment and target in pages and fragment not in pages[target].ids:
                wrong.append(f"{where}: dead link {url}: no such place in that page")
    for path in sorted(site.rglob("*.css")):
        wrong += [f"{path.relative_to(site)}: loads {url}" for url in _css(path.read_text("utf-8")) if _is_foreign(url)]
    return wrong


def _is_foreign(url: str) -> bool:
    return url.startswith("//") or urlsplit(url).scheme in ("http", "https", "ws", "wss", "ftp")


def _target(root: Path, page: Path, url: str) -> tuple[Path, str]:
    parts = urlsplit(url)
    name = unquote(parts.path)
    if not name:
        return page, unquote(parts.fragment)
    target = (root / name.lstrip("/")).resolve()
    return (target / "index.html" if target.is_dir() else target), unquote(parts.fragment)


def main() -> int:
    """Check the folder named on the command line; the exit code is 1 if something is wrong."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and a folder
        raise SystemExit(__doc__)
    wrong = check(Path(sys.argv[1]))
    for line in wrong:
        print(line)
    if not wrong:
        print("no dead link, and nothing is loaded from another host")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
