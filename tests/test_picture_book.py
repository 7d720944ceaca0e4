"""The lessons as pages: what links to what, how large the pictures are, what a Markdown renderer makes of them."""

import re
import sys
from pathlib import Path

import pytest

LESSONS = Path(__file__).parents[1] / "lessons"
SCRIPTS = sorted(LESSONS.glob("[0-9]*.py"))
ANSWERED = [
    path for path in SCRIPTS if path.name[:2] in {"01", "02", "03", "04", "05", "06", "07", "08", "10", "13"}
]


def loose_asterisks(text):
    """Lines of the Markdown cells whose asterisks a renderer would take for emphasis: formulas outside of code."""
    found = []
    for cell in re.split(r"^# %%", text, flags=re.M):
        if cell.startswith(" [markdown]"):
            for line in cell.splitlines()[1:]:
                bare = re.sub(r"`[^`]*`", "", line if not line.startswith("#     ") else "")
                bare = re.sub(r"(?<![*\w])\*{1,2}\w([^*]*[\w.,!?:])?\*{1,2}(?![*\w])", "", bare)  # *emphasis*
                if re.search(r"\S\*|\*\S", bare):
                    found.append(line)
    return found


def test_loose_asterisks_are_found():
    page = "# %% [markdown]\n# `b*c`, *d*, **e f**, 2 * 3\n#     x**2\n# first 1*1 + 2*2, then N*H\n# %%\ny = x**2"
    assert loose_asterisks(page) == ["# first 1*1 + 2*2, then N*H"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_lesson_is_short_and_its_formulas_survive_markdown(path):
    text = path.read_text()
    assert loose_asterisks(text) == []
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


@pytest.mark.parametrize("path", ANSWERED, ids=lambda path: path.stem)
def test_every_exercise_has_an_answer_and_the_lesson_says_where(path):
    lesson, answer = path.read_text(), (LESSONS / "answers" / path.name).read_text()
    asked = re.findall(r"^# (\d)\. ", lesson[lesson.index("# ## Exercises") :], flags=re.M)
    assert re.findall(r"^answers\.exercise\((\d),", answer, flags=re.M) == asked
    for part in re.split(r"^answers\.exercise", answer, flags=re.M)[1:]:
        assert re.search(r"answers\.(between|below|same)\(", part), "no figure beside the expected one"


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
