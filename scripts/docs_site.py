"""Hooks of mkdocs.yml: pages from the files at the top of the repository, and links that resolve inside the site.

Pages link to other files of the repository by path: `../CONTRIBUTING.md`, `../gcsl_cli/tasks/toxicity.py`. In the site
the first is a page. The second becomes a link to the repository if `repo_url` is set in mkdocs.yml, else plain text.
"""

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

TOP = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files at the top of the repository and the pages made from them."""
PAGES = {page: name for name, page in TOP.items()}
OPTIONAL = {"limitations.md"}
"""Entries of the navigation that are removed if their page does not exist."""
BRANCH = "main"
FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"^```(\w+) (\S+)\n")
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_config(config: "MkDocsConfig") -> None:
    """Remove optional pages that do not exist from the navigation."""
    missing = {page for page in OPTIONAL if not (Path(config.docs_dir) / page).exists()}
    config.nav = [entry for entry in config.nav or [] if missing.isdisjoint(map(str, entry.values()))]


def on_files(files: "Files", config: "MkDocsConfig") -> None:
    """Add the pages of the files at the top of the repository."""
    from mkdocs.structure.files import File

    root = Path(config.docs_dir).parent
    for name, page in TOP.items():
        files.append(File.generated(config, page, content=(root / name).read_text(encoding="utf-8")))


def on_page_markdown(markdown: str, page: "Page", config: "MkDocsConfig", files: "Files") -> str:
    """Rewrite the links of a page, and the names of its fenced code."""
    places = {file.src_uri for file in files}

    def link(match: re.Match[str]) -> str:
        return rewritten(match, page.file.src_uri, places, config.repo_url)

    parts = FENCED.split(markdown)
    return "".join(titled(part) if part.startswith("```") else LINK.sub(link, part) for part in parts)


def titled(block: str) -> str:
    """Show the file name after the language of a fenced block as its title; drop other names, which only tests use."""
    language, name = found.groups() if (found := NAMED.match(block)) else ("", "")
    return NAMED.sub(f'```{language} title="{name}"\n' if "." in name else f"```{language}\n", block)


def rewritten(match: re.Match[str], source: str, places: set[str], repo_url: str | None) -> str:
    """Rewrite a link of the page `source`: to a page of the site, to the repository, or to plain text."""
    image, text, target = match.groups()
    if re.match(r"[a-z]+:|#", target):
        return match[0]
    path, _, fragment = target.partition("#")
    here = PAGES.get(source, f"docs/{source}")
    there = posixpath.normpath(posixpath.join(posixpath.dirname(here), path))
    page = TOP.get(there, there.removeprefix("docs/"))
    if page in places:
        relative = posixpath.relpath(page, posixpath.dirname(source) or ".")
        return f"{image}[{text}]({relative}{'#' + fragment if fragment else ''})"
    if repo_url:
        return f"{image}[{text}]({repo_url.rstrip('/')}/blob/{BRANCH}/{there}{'#' + fragment if fragment else ''})"
    return text if "`" in text or "/" not in text else f"`{text}`"
