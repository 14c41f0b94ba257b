"""Which boards CUDA_VISIBLE_DEVICES leaves visible: a pure function of names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint.sources._nvml_boards import Board, select

BOARDS = (
    Board(0, "GPU-aaaa1111-0000", mig=None),
    Board(1, "GPU-aaaa2222-0000", mig=("MIG-1111", "MIG-2222")),
    Board(2, "GPU-bbbb3333-0000", mig=None),
)


@pytest.mark.parametrize(
    ("visible", "indices", "stopped_at"),
    [
        (None, [0, 1, 2], None),
        ("", [], ""),
        ("-1", [], "-1"),
        ("2,0", [2, 0], None),
        (" 1 , 2 ", [1, 2], None),
        ("0,2,-1,1", [0, 2], "-1"),
        ("0,3,1", [0], "3"),
        ("0,,1", [0], ""),
        ("1,1", [1], None),
        ("GPU-bbbb3333-0000,0", [2, 0], None),
        ("GPU-b", [2], None),
        ("GPU-aaaa", [], "GPU-aaaa"),
        ("GPU-cccc", [], "GPU-cccc"),
        ("MIG-2222,MIG-1111", [1], None),
        ("MIG-GPU-aaaa2222-0000/1/0", [1], None),
        ("MIG-3333", [], "MIG-3333"),
        ("NoDevFiles", [], "NoDevFiles"),
        ("²", [], "²"),
    ],
)
def test_cudas_rules(visible: str | None, indices: list[int], stopped_at: str | None) -> None:
    """Indices, UUIDs or their unique beginnings, MIG UUIDs; an entry for nothing ends it."""
    selection = select(visible, BOARDS)
    assert [board.index for board in selection.boards] == indices
    assert selection.stopped_at == stopped_at


@pytest.mark.parametrize(("visible", "by_index"), [(None, False), ("1", True), ("GPU-b", False)])
def test_an_index_is_remembered(visible: str | None, by_index: bool) -> None:
    """Only indices depend on the order in which CUDA counts."""
    assert select(visible, BOARDS).by_index is by_index


@given(st.text(st.sampled_from("0123-,GPUMIabc /x"), max_size=40))
def test_any_text_gives_boards_once_each(visible: str) -> None:
    """Whatever is in the variable, detection goes on with boards that exist, each once."""
    selection = select(visible, BOARDS)
    assert set(selection.boards) <= set(BOARDS)
    assert len(set(selection.boards)) == len(selection.boards)
    assert (selection.stopped_at is None) or selection.stopped_at in visible


@given(st.lists(st.sampled_from(BOARDS), unique=True, min_size=1))
def test_names_keep_their_order(boards: list[Board]) -> None:
    """By UUID or by index, the boards come in the order in which they are named."""
    for names in ([board.uuid for board in boards], [str(board.index) for board in boards]):
        assert list(select(",".join(names), BOARDS).boards) == boards
