"""The book: a lesson that runs as a notebook, and its page."""

import base64
import html
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MISSING = [name for name in ("jupytext", "nbclient", "nbconvert", "ipykernel") if find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}: pip install -e '.[book]'")
LESSON = "07_whole_game"  # it trains, and has pictures and an animation


def build(*arguments) -> subprocess.CompletedProcess:
    """In a process of its own: the tools warn of what is not ours, and here warnings are errors."""
    return subprocess.run(
        [sys.executable, ROOT / "lessons" / "book.py", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    out = tmp_path_factory.mktemp("book")
    done = build(LESSON, "--quick", "--out", out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def page(book):
    """The page's body."""
    text = (book / f"{LESSON}.html").read_text(encoding="utf-8")
    return text[text.index("<body") :]


def plain(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page))


def test_the_page_has_the_lesson_its_output_and_its_pictures(page, book):
    said = plain(page)
    assert 'FLAGS = "--quick"' in said and "Exercises" in said
    assert f"out/{LESSON}: all checks of this lesson passed in " in said
    shown = {
        kind: {base64.b64decode(data) for data in re.findall(rf"data:image/{kind};base64,([\w+/=]+)", page)}
        for kind in ("png", "gif")
    }
    for kind, names in {"png": ["curves", "snapshots"], "gif": ["game"]}.items():
        files = {(book / "quick" / "out" / LESSON / f"{name}.{kind}").read_bytes() for name in names}
        assert files == shown[kind]


def test_nothing_litters_the_page(page):
    said = plain(page)
    assert "application/vnd.jupyter.stderr" not in page and "object at 0x" not in said
    assert "Path(" not in said
    assert str(ROOT) not in page and "picture:" not in said and "animation:" not in said
    assert len(re.findall(r"^step 150/150 .* 0:00 left", said, flags=re.M)) == 2  # games
    assert said.count(" left  d_loss") == 2 and "\r" not in said


def test_the_page_needs_no_network_and_no_other_file(book):
    for name in (f"{LESSON}.html", "index.html"):
        text = (book / name).read_text(encoding="utf-8")
        assert not re.findall(r"""(?:<script[^>]+src|<link[^>]+href|import\(?)\s*=?\s*["']?https?:""", text)
        assert not re.findall(r'<img[^>]+src="(?!data:)', text)


def test_the_index_leads_to_the_pages_and_to_the_scripts_that_have_none(book):
    text = (book / "index.html").read_text(encoding="utf-8")
    links = re.findall(r'<a href="([^"]+)"', text)
    assert f"{LESSON}.html" in links and "02_dense_layer.html" not in links
    files = [link for link in links if "#" not in link and ":" not in link]
    assert len(files) >= 15 and [link for link in files if not (book / link).exists()] == []


def test_a_lesson_that_is_not_there_is_one_line(tmp_path):
    done = build("77", "--out", tmp_path / "book")
    assert done.returncode == 2 and "error: no lesson's name begins with '77'" in done.stderr
    assert not (tmp_path / "book").exists()
