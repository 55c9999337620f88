"""Text that a terminal shows, but does not obey."""

from airouter.sessions.terminal import clean, one_line


def test_control_characters_are_replaced():
    assert clean("a\x1b[2J\x9b\u202eb\n") == "a�[2J��b�"
    assert clean("a\n\tb\x07", lines=True) == "a\n\tb�"
    assert one_line("a\nb  c", 3) == "a …"
