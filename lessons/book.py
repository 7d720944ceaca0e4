"""Builds the book: each lesson as a page with its output and its pictures, and the picture book as their index.

    pip install -e '.[book]'
    python lessons/book.py --quick            # all lessons in seconds each; the text describes the full runs
    python lessons/book.py 02 07              # in full, those whose names begin so; other pages stay
    python lessons/book.py --out pages        # default: out/book; begin with its index.html

The lessons run as notebooks in out/book/full/ or out/book/quick/, and leave there what they leave as scripts. A page
holds all that it shows: it needs no network and no other file.
"""

import argparse
import os
import re
from pathlib import Path

try:
    import jupytext
    from nbclient import NotebookClient
    from nbconvert import HTMLExporter
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor
    from nbformat import NotebookNode, v4
except ImportError as error:
    raise SystemExit(f"error: {error}; python -m pip install -e '.[book]'") from None

LESSONS = Path(__file__).resolve().parent
# nbconvert's page without what it would fetch from the network, in lines that one can read.
PAGE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_css -%}
<style>
main { max-width: 66rem; margin: auto; padding: 0 1rem; }
.jp-RenderedMarkdown pre { overflow-x: auto; }
.jp-RenderedMarkdown pre code { white-space: pre !important; }
.jp-RenderedMarkdown td { text-align: left !important; }
</style>
{%- endblock -%}
{%- block data_png scoped -%}
<div class="jp-RenderedImage jp-OutputArea-output">
<img src="data:image/png;base64,{{ output.data['image/png'] }}" alt="{{ output | get_metadata('alt', 'image/png') }}">
</div>
{%- endblock -%}
"""


def run(lesson: Path, flags: str, folder: Path) -> NotebookNode:
    """The lesson as a notebook that has run in the folder, with these FLAGS."""
    text = lesson.read_text(encoding="utf-8").replace('FLAGS = ""', f'FLAGS = "{flags}"')
    notebook = jupytext.reads(text, "py:percent")
    NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],  # of the kernel itself: what it says is not for the learner
        resources={"metadata": {"path": folder}},
    ).execute()
    notebook.cells.insert(0, v4.new_markdown_cell("[All lessons](index.html)"))
    return notebook


def write_page(notebook: NotebookNode, title: str, path: Path) -> None:
    exporter = HTMLExporter(
        raw_template=PAGE,
        preprocessors=[CoalesceStreamsPreprocessor],  # of a line that is rewritten in place the last state
        embed_images=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title, "path": str(LESSONS)}})
    path.write_text(page, encoding="utf-8")


def index(out: Path) -> NotebookNode:
    """The picture book, its links to lessons leading to their pages, where there are some, or to the scripts."""

    def link(found: re.Match) -> str:
        target = LESSONS / found[1]
        page = f"{target.stem}.html"
        there = page if (out / page).exists() else Path(os.path.relpath(target, out)).as_posix()
        return found[0] if target.suffix == ".png" else f"]({there})"

    text = (LESSONS / "README.md").read_text(encoding="utf-8")
    return v4.new_notebook(cells=[v4.new_markdown_cell(re.sub(r"\]\(([^)#:]+)\)", link, text))])


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the lessons as pages.")
    parser.add_argument("lessons", nargs="*", metavar="NN", help="names or their beginnings (default: all)")
    parser.add_argument("--quick", action="store_true", help="the lessons with --quick")
    parser.add_argument("--out", type=Path, default=Path("out/book"), help="folder (default %(default)s)")
    args = parser.parse_args()
    found = sorted(LESSONS.glob("[0-9]*.py"))
    for name in args.lessons:
        if not any(path.name.startswith(name) for path in found):
            parser.error(f"no lesson's name begins with {name!r}")
    folder = args.out / ("quick" if args.quick else "full")
    folder.mkdir(parents=True, exist_ok=True)
    for lesson in found:
        if lesson.name.startswith(tuple(args.lessons) or ""):
            print(lesson.name, flush=True)
            notebook = run(lesson, "--quick" if args.quick else "", folder)
            write_page(notebook, lesson.stem, args.out / f"{lesson.stem}.html")
    write_page(index(args.out), "npgan: the picture book", args.out / "index.html")
    print(args.out / "index.html")


if __name__ == "__main__":
    main()
