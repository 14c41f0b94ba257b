"""The picture of receipts: stacked parts that add up, and no bar for what is not known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from inferprint import Receipt
from receipts import component, receipt
from support import require_module, run_python


@pytest.fixture
def axes() -> Iterator[Any]:
    require_module("matplotlib", "pip install 'inferprint[plot]'").use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots()
    yield axes
    pyplot.close(figure)


def drawn(receipts: list[Receipt], axes: Any) -> Any:
    from inferprint.plot import plot_receipts

    return plot_receipts(receipts, axes)


def tops(axes: Any) -> list[float]:
    """How high the bars of each receipt reach."""
    found: dict[float, float] = {}
    for bar in axes.patches:
        place = round(bar.get_x() + bar.get_width() / 2)
        found[place] = max(found.get(place, 0.0), bar.get_y() + bar.get_height())
    return [found[place] for place in sorted(found)]


def test_the_parts_are_stacked_to_the_whole(axes: Any) -> None:
    """In Wh, each part with its name; a receipt whose parts are one sum has a bar too."""
    split = receipt(parts={"gpu": component(1800, 1080, 720)})
    whole = receipt(parts={"gpu": component(total_j=7200.0)})
    drawn([split, whole], axes)
    assert tops(axes) == pytest.approx([1.0, 2.0])
    names = {text.get_text() for text in axes.get_legend().get_texts()}
    assert names == {"active", "idle", "standing", "active and idle not told apart"}
    assert axes.get_ylabel() == "Wh"


def test_what_is_unknown_has_a_word_and_no_bar(axes: Any) -> None:
    """It is not drawn as 0."""
    drawn([receipt(), receipt(parts={"gpu": component(3600)})], axes)
    assert [text.get_text().strip() for text in axes.texts] == ["unknown"]
    assert tops(axes) == pytest.approx([0.0, 1.0])


def test_no_receipt_at_all_is_an_empty_picture(axes: Any) -> None:
    """Without an error or a warning."""
    assert list(drawn([], axes).patches) == []


def test_a_name_is_not_read_as_mathematics(axes: Any) -> None:
    """Dollar signs in a model's name stay what they are, and the picture can be drawn."""
    drawn([receipt("$\\frac{", parts={"gpu": component(3600)})], axes)
    (label,) = axes.get_xticklabels()
    assert label.get_text() == r"\$\frac{ req-1"
    # Drawing keeps the files of fonts open, so it is done elsewhere.
    script = (
        "import matplotlib; matplotlib.use('agg')\n"
        "from matplotlib import pyplot\n"
        f"pyplot.figure().text(0, 0, {label.get_text()!r})\n"
        "pyplot.gcf().canvas.draw()"
    )
    result = run_python("-c", script)
    assert result.returncode == 0, result.stderr


def test_without_matplotlib_the_error_names_the_extra() -> None:
    """It says what to install."""
    script = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from inferprint.plot import plot_receipts\n"
        "plot_receipts([])"
    )
    result = run_python("-c", script)
    assert result.returncode == 1
    assert "pip install 'inferprint[plot]'" in result.stderr
