"""Tables for notebooks: every figure, in honest digits, and nothing that a name says is markup."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given

from fake_tracker import gpu_books
from inferprint import Balance, Quote, Range, Receipt
from inferprint.readable import in_wh, word_rows
from receipts import component, receipt
from strategies import receipts_of_any_kind

MARKUP = '<script>alert(1)</script>"&'
ALLOWED = {"table", "caption", "tr", "th", "td"}


class Table(HTMLParser):
    """A table's tags, caption and rows."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.caption = ""
        self.rows: list[list[str]] = []
        self._open = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        self._open = tag
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self._open == "caption":
            self.caption += data
        else:
            self.rows[-1][-1] += data


def test_a_receipt_has_a_line_for_each_figure() -> None:
    """The same figures as in words, and how they are known."""
    one = receipt(parts={"gpu": component(540, 216, 108)})
    table = Table(one._repr_html_())
    assert table.caption == "req-1 llama-3-8b"
    rows = {name.strip(): text for name, text in table.rows}
    assert rows == {name.strip(): text for name, text in word_rows(one)} | {
        "provenance": "measured"
    }
    assert rows["energy"] == "0.24 Wh, measured"


def test_what_is_unknown_reads_unknown() -> None:
    """A receipt without figures has no zero."""
    html = receipt()._repr_html_()
    assert "not known" in html
    assert "0 Wh" not in html


def test_a_quote_has_a_line_for_each_figure() -> None:
    """As a receipt's."""
    energy = receipt(parts={"gpu": component(540, 216, 108)}).energy
    quote = Quote(
        "m", 8, 0, 30.0, None, 1, energy, Range(1.0, 2.0, 3.0), None, None, "amortised", "modelled"
    )
    rows = dict(Table(quote._repr_html_()).rows)
    assert rows["energy"] == f"{in_wh(energy.total_j)}, modelled"
    assert rows["duration"] == "2.0 s (1.0 to 3.0)"


def test_a_balance_has_a_line_for_each_device() -> None:
    """What it used, and the six terms that add up to it."""
    table = Table(Balance({"GPU-1": gpu_books(3600.0)})._repr_html_())
    header, row = table.rows
    assert len(header) == len(row) == 8
    assert row[:2] == ["GPU-1 (measured)", "1 Wh"]
    assert Balance({})._repr_html_().count("<tr>") == 1


@pytest.mark.parametrize("where", ["model", "request_id", "flags", "reason"])
def test_names_are_never_markup(where: str) -> None:
    """A model, an id, a flag or a reason with markup is text, all of it."""
    value = frozenset({MARKUP}) if where == "flags" else MARKUP
    one: Receipt = replace(receipt(), **{where: value})  # type: ignore[arg-type]
    table = Table(one._repr_html_())
    assert table.tags <= ALLOWED
    assert MARKUP in table.caption + str(table.rows)


@given(one=receipts_of_any_kind())
def test_any_receipt_is_a_table(one: Receipt) -> None:
    """Whatever it is called and whatever is not known of it."""
    table = Table(one._repr_html_())
    assert table.tags <= ALLOWED
    assert all(len(row) == 2 for row in table.rows)


def test_a_device_with_markup_in_its_id_is_text() -> None:
    """The balance too is escaped."""
    table = Table(Balance({MARKUP: gpu_books()})._repr_html_())
    assert table.tags <= ALLOWED
    assert table.rows[1][0] == f"{MARKUP} (measured)"
