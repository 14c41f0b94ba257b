"""The documentation as a site: it builds, whole and without a warning, and needs no other host."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support import REPO, require_module, run_python

DOCS = REPO / "docs"
INSTALL = "pip install 'inferprint[docs]'"
# Not --quiet: warnings that are not logged are not counted, and fail nothing.
STRICT = ("--strict", "--site-dir")
QUIET = {"NO_MKDOCS_2_WARNING": "1"}

pytestmark = pytest.mark.real


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    require_module("material", INSTALL)
    # mkdocs and its dependencies warn of their own use of Python; what counts is --strict.
    command = ("-W", "ignore", "-m", "mkdocs", "build", "--config-file", config, *STRICT, site)
    return run_python(*command, env=QUIET)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built once."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    result = build(REPO / "mkdocs.yml", folder)
    assert result.returncode == 0, result.stderr
    return folder


def test_every_page_is_in_the_site_and_in_its_menu(site: Path) -> None:
    """Also one that nobody has given a place yet."""
    home = (site / "index.html").read_text()
    names = {path.stem for path in DOCS.glob("*.md")} - {"index"}
    assert names
    for name in names:
        assert (site / name / "index.html").is_file()
        assert f'href="{name}/"' in home


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    """No font, script, style or picture: reading the documentation tells nobody of it."""
    pages = [*site.rglob("*.html")]
    assert len(pages) > 10
    loaded = re.compile(r"<(?:script|img|iframe)[^>]+src=\"([^\"]+)\"|<link[^>]+href=\"([^\"]+)\"")
    hosts = {
        urlsplit(address).netloc
        for page in pages
        for found in loaded.findall(page.read_text())
        for address in found
    }
    assert hosts == {""}


def test_links_out_of_the_documentation_keep_their_words(site: Path) -> None:
    """What only a clone of the repository has is named in the site, and is no dead link."""
    page = (site / "footprint" / "index.html").read_text()
    assert "benchmarks/published" in page
    assert "benchmarks/README" not in page


def test_a_dead_link_fails_the_build(tmp_path: Path) -> None:
    """Which is what the build above would show otherwise: pages and headings are looked up."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Home\n\n[gone](gone.md), [no such](#heading)\n")
    settings = (REPO / "mkdocs.yml").read_text().split("validation:")[1]
    config = tmp_path / "mkdocs.yml"
    config.write_text(
        f"site_name: t\ntheme: {{name: material, font: false}}\nvalidation:{settings}"
    )
    result = build(config, tmp_path / "site")
    assert result.returncode == 1
    assert "gone.md" in result.stderr
    assert "#heading" in result.stderr
