"""Reads the Huffman codes of a JPEG more strictly than libjpeg, which lets most damage of a few bytes pass.

libjpeg warns only where codes do not exist, or data are left over or missing at the end of a scan. Damaged data mostly
decode to other codes, which soon ask for what no encoder writes: a coefficient beyond the 64th, values beyond the
range, a run of blocks beyond the end (ITU-T T.81, F.2.2 and G.2). Nothing is transformed to pixels.
"""

from dataclasses import dataclass, field

import numpy as np

from pipeline.faces.jpeg_huffman import AC, AC_REFINED, BOTH, DC, DC_REFINED, FAULTS, Masks, read_scan

_SOF_SEQUENTIAL, _SOF_PROGRESSIVE = (0xC0, 0xC1), 0xC2
_DHT, _DQT, _DRI, _SOS, _EOI = 0xC4, 0xDB, 0xDD, 0xDA, 0xD9
_BARE = {0x01, *range(0xD0, 0xD8)}


@dataclass(slots=True)
class _Component:
    across: int  # sampling factors
    down: int
    quantisation: int
    blocks_x: int = 0  # blocks that have samples
    blocks_y: int = 0
    stride: int = 0  # blocks of whole MCUs
    seen: Masks = field(default_factory=lambda: np.zeros(0, np.uint64))  # coefficients that are not 0, by block
    low: dict[int, int] = field(default_factory=dict[int, int])  # lowest bit that was sent, by coefficient


class _UnreadableError(Exception):
    """The header is of a kind that is left to libjpeg."""


def find_fault(content: bytes) -> str | None:
    """What is wrong with the image data of a JPEG file: empty where nothing is, None where that cannot be judged.

    Judged are the kinds that cameras and programs write: Huffman-coded, of 8 bits, sequential or progressive.
    """
    try:
        return _Reader(content).read()
    except (_UnreadableError, IndexError, KeyError, ValueError):
        return None


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._data = np.frombuffer(content, np.uint8)
        self._content = content
        self._tables = np.zeros((8, 1 << 16), np.uint16)  # DC 0...3, AC 0...3
        self._quantisation = np.ones((4, 64), np.int64)
        self._restart = 0
        self._components: dict[int, _Component] = {}
        self._progressive = False
        self._mcus = (0, 0)

    def read(self) -> str:
        place = 2
        while (place := self._content.find(b"\xff", place)) >= 0:
            marker = self._content[place + 1]
            if marker in (0x00, 0xFF) or marker in _BARE:
                place += 1 if marker == 0xFF else 2
                continue
            if marker == _EOI:
                return self._incomplete()
            end = place + 2 + int.from_bytes(self._content[place + 2 : place + 4])
            segment = self._content[place + 4 : end]
            if marker == _SOS:
                fault, end = self._scan(segment, end)
                if fault:
                    return FAULTS[fault]
            else:
                self._note(marker, segment)
            place = end
        return FAULTS[2]

    def _note(self, marker: int, segment: bytes) -> None:
        if marker == _DHT:
            self._note_codes(segment)
        elif marker == _DQT:
            while segment:
                wide, number = segment[0] >> 4, segment[0] & 3
                steps = np.frombuffer(segment[1 : 1 + 64 * (1 + wide)], ">u2" if wide else ">u1")
                self._quantisation[number] = steps  # in zigzag order, as the coefficients
                segment = segment[1 + 64 * (1 + wide) :]
        elif marker == _DRI:
            self._restart = int.from_bytes(segment[:2])
        elif marker in _SOF_SEQUENTIAL or marker == _SOF_PROGRESSIVE:
            self._note_frame(marker, segment)
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC8, 0xCC):
            raise _UnreadableError

    def _note_codes(self, segment: bytes) -> None:
        while segment:
            number, counts = (segment[0] >> 4) * 4 + (segment[0] & 3), np.frombuffer(segment[1:17], np.uint8)
            symbols = np.frombuffer(segment[17 : 17 + int(counts.sum())], np.uint8).astype(np.uint16)
            lengths = np.repeat(np.arange(1, 17, dtype=np.uint16), counts)
            entries = np.repeat(lengths << 8 | symbols, 1 << (16 - lengths.astype(np.int64)))[: 1 << 16]
            self._tables[number] = 0
            self._tables[number, : len(entries)] = entries
            segment = segment[17 + len(symbols) :]

    def _note_frame(self, marker: int, segment: bytes) -> None:
        height, width = int.from_bytes(segment[1:3]), int.from_bytes(segment[3:5])
        if segment[0] != 8 or self._components or not height or not width:
            raise _UnreadableError
        self._progressive = marker == _SOF_PROGRESSIVE
        for start in range(6, 6 + 3 * segment[5], 3):
            identity, factors, table = segment[start : start + 3]
            self._components[identity] = _Component(factors >> 4, factors & 15, table & 3)
        across = max(part.across for part in self._components.values())
        down = max(part.down for part in self._components.values())
        self._mcus = _ceil(width, 8 * across), _ceil(height, 8 * down)
        for part in self._components.values():
            part.blocks_x = _ceil(_ceil(width * part.across, across), 8)
            part.blocks_y = _ceil(_ceil(height * part.down, down), 8)
            part.stride = self._mcus[0] * part.across
            if self._progressive:
                part.seen = np.zeros(part.stride * self._mcus[1] * part.down, np.uint64)

    def _scan(self, segment: bytes, place: int) -> tuple[int, int]:
        """The fault of a scan that begins at `place`, 0 where there is none, and where its data end."""
        count = segment[0]
        named = [(self._components[segment[1 + 2 * each]], segment[2 + 2 * each]) for each in range(count)]
        first, last, bits = segment[1 + 2 * count : 4 + 2 * count]
        high, low = bits >> 4, bits & 15
        parts = [part for part, _ in named]
        if not self._progressive:
            kind, first, last, low = BOTH, 0, 63, 0
        elif first == 0:
            kind = DC_REFINED if high else DC
            last = 0
        else:
            kind = AC_REFINED if high else AC
        if last > 63 or first > last or not parts:
            raise _UnreadableError
        for part in parts:
            part.low.update(dict.fromkeys(range(first, last + 1), low))
        single = count == 1
        layout = [(1 if single else part.across * part.down, codes >> 4 & 3, 4 + (codes & 3)) for part, codes in named]
        steps = self._quantisation[[part.quantisation for part in parts]] << low
        grid = (parts[0].blocks_x, parts[0].blocks_y) if single else self._mcus
        return read_scan(
            self._data, place, self._tables, kind, np.array(layout), steps, *grid, self._restart, first, last,
            parts[0].seen, parts[0].stride,
        )  # fmt: skip

    def _incomplete(self) -> str:
        """A fault if the file ends before a component, or the last bits of a coefficient, were sent."""
        if any(0 not in part.low or any(part.low.values()) for part in self._components.values()):
            return FAULTS[2]
        return ""


def _ceil(number: int, divisor: int) -> int:
    return (number + divisor - 1) // divisor
