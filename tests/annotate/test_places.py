"""Places of hashes against a dictionary."""

import hashlib

import pytest

from zerolabel.annotate import places


@pytest.mark.parametrize("recent", [1, 7, 1 << 16])
def test_it_knows_what_a_dictionary_knows(recent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "RECENT", recent)
    keys = [hashlib.sha256(str(i % 300).encode()).digest() for i in range(400)]
    keys += [bytes(32), b"\1" + bytes(31), b"\1" * 31 + b"\0"]  # zeros at the end are part of a hash
    known: dict[bytes, int] = {}
    found = places.Places()
    for start in range(0, len(keys), 50):
        pairs = [(key, start + i) for i, key in enumerate(keys[start : start + 50])]
        found.add(pairs)
        for key, value in pairs:
            known.setdefault(key, value)
    assert all(found.get(key) == value for key, value in known.items())
    assert found.get(b"\1" * 32) is None and len(found) == len(known) == 303
    assert found.drop(100, 250) == 150
    assert [found.get(key) is None for key in known] == [100 <= value < 250 for value in known.values()]
