"""The lessons as pages: what links to what, how large the pictures are, what a Markdown renderer makes of them."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

LESSONS = Path(__file__).parents[1] / "lessons"
SCRIPTS = sorted(LESSONS.glob("[0-9]*.py"))


# What a Markdown renderer would not show as it stands, outside of code.
EATEN = {
    "emphasis": r"\S\*|\*\S|(?<!\w)_\S|\S_(?!\w)",  # what is left when *this* and **this** are gone
    "a tag": r"<[A-Za-z/!?]",
    "a formula of TeX's, an escape, a struck word, a character": r"\$|\\|~~|&#?\w+;",
    "a link": r"\[[^]]*\][(\[:]",
    "a list, a quotation, a table, a heading": r"^ {0,3}(\+ |>|\||=+$|-{2,}$|\d+\) )",
    "code that the line above swallows": r"^ *[^\s\d-].*\n {4,}\S",
}


def eaten(text):
    """What a Markdown renderer would eat of a lesson: pieces of its Markdown cells, formulas outside of code."""
    found = []
    for cell in re.split(r"^# %%", text, flags=re.M):
        if cell.startswith(" [markdown]"):
            lines = [line[2:] for line in cell.splitlines()[1:]]
            prose = re.sub(r"(?:(?<=\n\n)|\A)(?: {4,}.*\n|\n)+", "\n", "\n".join(lines) + "\n")
            prose = re.sub(r"`[^`]+`", "code", prose)
            prose = re.sub(r"(?<![*\w])(\*{1,2})\w([^*]*[\w.,!?:])?\1(?![*\w])", "emphasis", prose)
            found += [m[0] for kind in EATEN.values() for m in re.finditer(kind, prose, flags=re.M)]
    return found


@pytest.mark.parametrize(
    "line, found",
    [
        ("`b*c`, *d*, **e f**, 2 * 3, a_b, x < 3 > 2, a <= b, [0, 1], -1", []),
        (
            "A formula:\n#\n#     x**2 <a> $\n#\n#     y_\n#\n# - *one*, `_b` of\n#   two\n# 1. three\n#    four",
            [],
        ),
        ("`a formula * of\n# two lines`, *words\n# of two*", []),
        ("first 1*1 + 2*2, then N*H", ["1*", "2*", "N*"]),
        ("the _step_ and x_", ["_s", "p_", "x_"]),
        ("<A x, y> = <x, y>", ["<A", "<x"]),
        (r"5 $, a\b, &lt;, ~~no~~", ["$", "\\", "&lt;", "~~", "~~"]),
        ("a[i](x), [1]: no, u[0][1]", ["[i](", "[1]:", "[0]["]),
        ("the sum of a\n# + b, where\n# > 3\n# --", ["+ ", ">", "--"]),
        ("so it is\n#     y = x", ["so it is\n    y"]),
    ],
)
def test_what_markdown_eats_is_found(line, found):
    assert eaten(f"# %% [markdown]\n# {line}\n\n# %%\ny = x**2 * _z\n") == found


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_lesson_has_a_line_for_its_flags(path):
    """For notebooks, which have no command line; `lessons/book.py` writes its own flags there."""
    text = path.read_text()
    assert re.findall(
        r'^FLAGS = ""  # .*\nlesson = Lesson\(\s*"[^"]+",\s*(?:"[^"]+"|TITLE),\s*FLAGS\b', text, flags=re.M
    )
    assert text.count("FLAGS =") == 1 and "FLAGS" in text.split("# %%")[2]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_no_cell_ends_with_a_value(path):
    """A notebook would print it under the cell; what the lessons' own calls return is None."""
    quiet = r"(print|lesson\.(step|picture|animation|pictures|end))\("
    for cell in re.split(r"^# %%", path.read_text(), flags=re.M)[1:]:
        code = ast.parse(cell.partition("\n")[2]).body
        if code and isinstance(code[-1], ast.Expr):
            assert re.match(quiet, ast.unparse(code[-1]))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_lesson_is_short_and_its_formulas_survive_markdown(path):
    text = path.read_text()
    assert eaten(text) == []
    assert text.count("\n") <= 400


def test_the_picture_book_shows_every_lesson_and_its_pictures_are_small():
    book = (LESSONS / "README.md").read_text()
    links = re.findall(r"\]\(([^)#]+)\)", book)
    assert [link for link in links if not (LESSONS / link).exists()] == []
    assert {path.name for path in SCRIPTS} <= set(links)
    pictures = [LESSONS / link for link in links if link.endswith(".png")]
    assert len(pictures) == len(set(pictures)) >= 13
    assert [path.name for path in pictures if path.stat().st_size > 60_000] == []
    anchors = re.findall(r"\]\(#([^)]+)\)", book)
    headings = [
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in book.splitlines()
    ]
    assert set(anchors) <= set(headings)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_exercise_has_an_answer_and_the_lesson_says_where(path):
    lesson, answer = path.read_text(), (LESSONS / "answers" / path.name).read_text()
    asked = re.findall(r"^# (\d)\. ", lesson[lesson.index("# ## Exercises") :], flags=re.M)
    assert re.findall(r"^answers\.exercise\((\d),", answer, flags=re.M) == asked
    for part in re.split(r"^answers\.exercise", answer, flags=re.M)[1:]:
        assert re.search(r"answers\.(between|below|same)\(", part), "no figure beside the expected one"


def test_the_book_without_its_tools_says_in_one_line_what_to_install():
    script = "import runpy, sys; sys.modules['jupytext'] = None; runpy.run_path(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", script, LESSONS / "book.py"], capture_output=True, text=True, cwd=LESSONS
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ") and done.stderr.endswith(
        "; python -m pip install -e '.[book]'\n"
    )


@pytest.fixture
def answers(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(LESSONS / "answers"))
    monkeypatch.setattr(sys, "argv", ["answers", "--quick", "--out", str(tmp_path)])
    monkeypatch.delitem(sys.modules, "answers", raising=False)
    from answers import Answers

    return Answers("04_transposed_convolution")


def test_answers_compare_what_does_not_need_a_full_run(answers, capsys):
    answers.between("kinks", 12, 10, 14)
    answers.between("modes", 3, 7, 8, full=True)
    assert capsys.readouterr().out.splitlines() == [
        "kinks: 12, expected 10 to 14",
        "modes: 3, expected in a full run 7 to 8",
    ]
    with pytest.raises(AssertionError, match="kinks: 9, expected 10 to 14"):
        answers.between("kinks", 9, 10, 14)
    answers.args.quick = False
    with pytest.raises(AssertionError, match="modes: 3, expected 7 to 8"):
        answers.between("modes", 3, 7, 8, full=True)


def test_answers_run_the_lesson_with_its_lines_changed(answers):
    with pytest.raises(AssertionError, match="has 0 times 'not there'"):
        answers.lesson({"not there": "this"})
    names = answers.lesson(
        {
            "for kernel, stride, padding in ((3, 1, 1), (4, 2, 1),": "for kernel, stride, padding in ((5, 3, 1),"
        }
    )
    assert names["lesson"].args.quick and names["identity_error"] < 1e-12
