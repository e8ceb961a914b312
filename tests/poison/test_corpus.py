"""The corpus itself."""

from __future__ import annotations

from tests.poison.corpus import BODIES, MEBIBYTE, TEXTS, VALUES


def test_the_corpus_has_its_size_and_its_extremes():
    """At least 400 different texts, the mebibyte, the NUL and the lone surrogate among them."""
    assert len(set(TEXTS)) == len(TEXTS) >= 400
    assert len(TEXTS) + len(VALUES) + len(BODIES) >= 450
    assert max(map(len, TEXTS)) == MEBIBYTE
    assert sum("\0" in text for text in TEXTS) >= 2
    assert sum(any("\ud800" <= character <= "\udfff" for character in text) for text in TEXTS) >= 5
