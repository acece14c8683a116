"""A map from content hashes to numbers for millions of contents: 40 bytes an entry, where a dictionary takes 200."""

from collections.abc import Iterable

import numpy as np

RECENT = 1 << 16
"""Entries that are kept in a dictionary before they are sorted in."""


class Places:
    """Numbers by hash of 32 bytes; of a hash that is added twice, the first number stays."""

    def __init__(self) -> None:
        self._keys, self._values = np.zeros(0, "S32"), np.zeros(0, np.int64)  # sorted; NumPy strips zeros at the end
        self._recent: dict[bytes, int] = {}

    def __len__(self) -> int:
        self._sort()
        return len(self._keys)

    def get(self, key: bytes) -> int | None:
        """The number of a hash; None for an unknown one."""
        at = int(np.searchsorted(self._keys, np.bytes_(key)))
        if at < len(self._keys) and self._keys[at] == key.rstrip(b"\0"):
            return int(self._values[at])
        return self._recent.get(key)

    def add(self, pairs: Iterable[tuple[bytes, int]]) -> None:
        """Take hashes with their numbers."""
        for key, value in pairs:
            self._recent.setdefault(key, value)
        if len(self._recent) >= max(RECENT, len(self._keys) // 8):
            self._sort()

    def drop(self, first: int, stop: int) -> int:
        """Forget the hashes whose number is at least `first` and below `stop`; returns how many there were."""
        self._sort()
        kept = (self._values < first) | (self._values >= stop)
        self._keys, self._values = self._keys[kept], self._values[kept]
        return int((~kept).sum())

    def _sort(self) -> None:
        if not self._recent:
            return
        keys = np.concatenate([self._keys, np.array(list(self._recent), "S32")])
        values = np.concatenate([self._values, np.fromiter(self._recent.values(), np.int64)])
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        first = np.ones(len(keys), bool)
        first[1:] = keys[1:] != keys[:-1]
        self._keys, self._values, self._recent = keys[first], values[order][first], {}


__all__ = ["Places"]
