"""How far into the file its own index reaches: every sample of every track must lie inside."""

from __future__ import annotations

from array import array

from service.media.boxes import Box, Reader, damaged

_STBL = (b"mdia", b"minf", b"stbl")


def farthest_sample(reader: Reader, moov: Box) -> tuple[int, int]:
    """The byte where the last sample ends, and the number of samples, over all tracks."""
    end = samples = 0
    for track in reader.inside(moov, b"trak"):
        for stbl in reader.inside(track, *_STBL):
            tables = {box.kind: box for box in reader.boxes(stbl.start, stbl.end)}
            reach, count = _track(reader, tables)
            end, samples = max(end, reach), samples + count
    return end, samples


def _track(reader: Reader, tables: dict[bytes, Box]) -> tuple[int, int]:
    sizes, offsets, runs = (
        tables.get(b"stsz"),
        tables.get(b"stco") or tables.get(b"co64"),
        tables.get(b"stsc"),
    )
    if not (sizes and offsets and runs):
        return 0, 0
    for box in (sizes, offsets, runs):
        if box.end > reader.size:
            raise damaged("The file's index is damaged: a part of it is larger than the whole.")
    wide = offsets.kind == b"co64"
    return _reach(
        _Sizes(reader, sizes),
        reader.table(offsets, "Q" if wide else "I", header=4),
        reader.table(runs, "I", header=4, columns=3),
    )


class _Sizes:
    """How long samples are, bytes: one size for all of them, or a table."""

    def __init__(self, reader: Reader, stsz: Box) -> None:
        self._fixed, self.count = reader.numbers(stsz, 4, 2)
        self._table = array("I") if self._fixed else reader.table(stsz, "I", header=8)

    def total(self, start: int, stop: int) -> int:
        return self._fixed * (stop - start) if self._fixed else sum(self._table[start:stop])


def _reach(sizes: _Sizes, offsets: array[int], runs: array[int]) -> tuple[int, int]:
    """Follow the chunks; ``runs`` has rows of (first chunk from 1, samples a chunk, description)."""
    firsts, per_chunk = runs[0::3], runs[1::3]
    end = sample = row = 0
    for chunk, offset in enumerate(offsets, start=1):
        if sample >= sizes.count or not firsts:
            break
        while row + 1 < len(firsts) and firsts[row + 1] <= chunk:
            row += 1
        until = min(sample + per_chunk[row], sizes.count)
        end = max(end, offset + sizes.total(sample, until))
        sample = until
    return end, sizes.count
