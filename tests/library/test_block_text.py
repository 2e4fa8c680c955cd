import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_lib import ARCHITECTURES, Architecture, Block
from resnet_lib.block_text import MOST_CHARACTERS, read_blocks, written_blocks

UNITS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 3)), min_size=1, max_size=8)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_is_written_is_read_again(name):
    net = ARCHITECTURES[name]
    assert Architecture("net", read_blocks(written_blocks(net.blocks)), shortcut=net.shortcut).blocks == net.blocks


@given(st.lists(UNITS, min_size=1, max_size=3))
def test_any_blocks_are_read_again(units):
    blocks = [Block(f"b{i}", "basic_v2", args) for i, args in enumerate(units)]
    assert read_blocks(written_blocks(blocks)) == blocks


@pytest.mark.parametrize(
    "text",
    [
        '[Block("a", "basic_v1", [(8, 1), (8, 1)])]',
        '\n  Block("a", "basic_v1", 2 * [(8, 1)])',
        "[Block(scope='a', args=[(8, 1)] * 1 + [(8, 1)], unit_fn=basic_v1)]",
        '[["a", "basic_v1", [[8, 1], [8, 1]]]]',
        '(("a", "basic_v1", [{"depth": 8}, {"depth": 8, "stride": 1}]),)',
    ],
)
def test_forms_in_which_blocks_are_typed(text):
    assert (
        Architecture("net", read_blocks(text)).blocks
        == Architecture("net", [Block("a", "basic_v1", [(8, 1)] * 2)]).blocks
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (" \n", "the text is empty"),
        ("\n\n[1, 2", "line 3: '\\[' was never closed"),
        ("\n[1,\n__import__('os')]", "line 3: only Block.* are read here, got __import__\\('os'\\)"),
        ("[open]['x']", "only Block"),
        ("(lambda: 1)()", "only Block"),
        ("[x for x in 'ab']", "only Block"),
        ("f'{1}'", "only Block"),
        ("[(1, 1)] * 2 ** 9", "only Block.* got 2 \\*\\* 9"),
        ("[1] + 2", "only lists can be added"),
        ("'a' * 9", "only a list can be multiplied"),
        ("[(8, 1)] * 5001", "10,002 numbers are too many"),
        ("[[[]] * 9999] * 9999", "too many"),
        ("[(8, 1)] * 4000 + [(8, 1)] * 4000", "16,000 numbers are too many"),
        ("[Block('a', 'b', [(1000001, 1)])]", "numbers up to 1,000,000 are read, got 1000001"),
        ("Block('a', 'b')", "a Block has a scope, a kind of unit and a list of units"),
        ("Block('a', 'b', [], size=1)", "a Block has"),
        ("{'a': 1}", "expected a list of Blocks, got {'a': 1}"),
        ("-" * 9999 + "1", "no list of Blocks|line 1"),
        ("(" * 9999, "no list of Blocks|line 1"),
        ("1" * (MOST_CHARACTERS + 1), "at most 50,000 are read"),
    ],
)
def test_what_is_not_understood_is_named(text, words):
    with pytest.raises(ValueError, match=f"^blocks.*{words}|^blocks.*({words})"):
        read_blocks(text)
