"""A quiet music bed: four chords and a pluck, computed, so that it costs no licence and no file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.media.house import RATE

Wave = NDArray[np.float64]

#: seconds that a chord lasts
_CHORD = 2.5
#: seconds from pluck to pluck
_STEP = 0.3125
#: loudest sample; well below speech, as a bed should be
_LEVEL = 0.10
#: fade at the start and at the end, seconds
_FADE_IN, _FADE_OUT = 0.4, 0.6
#: chords in semitones above the root: bright, and for problems dark
_BRIGHT = ((0, 4, 7, 12), (-3, 4, 9, 12), (-7, 5, 9, 12), (-5, 2, 7, 11))
_DARK = ((0, 3, 7, 12), (-4, 3, 8, 12), (-7, 5, 8, 12), (-5, 2, 7, 10))
_PLUCKS = (0, 2, 1, 3, 2, 1, 3, 2)


class Soundtrack:
    """The whole bed as a function of time, computed in stretches: a minute of it needs no memory."""

    def __init__(self, seed: int, seconds: float, *, dark: bool = False) -> None:
        self._seconds = seconds
        self._root = 110 * 2 ** ((seed % 12) / 12)  # hertz, A2 and up
        self._chords = _DARK if dark else _BRIGHT

    def stretch(self, start: int, stop: int) -> NDArray[np.float32]:
        """Samples start..stop as (stop - start, 2), -1..1."""
        time = np.arange(start, stop, dtype=np.float64) / RATE
        bed, pluck = self._bed(time), self._pluck(time)
        fade = np.clip(np.minimum(time / _FADE_IN, (self._seconds - time) / _FADE_OUT), 0, 1)
        sound: NDArray[np.float32] = ((bed + 0.5 * pluck[:, None]) * (_LEVEL * fade)[:, None]).astype(
            np.float32
        )
        return sound

    def _bed(self, time: Wave) -> Wave:
        """Soft sines, spread from left to right; each chord swells and fades, so changes do not click."""
        place, within = np.divmod(time, _CHORD)
        swell = np.sin(np.pi * within / _CHORD) ** 0.7
        chord = place.astype(np.intp) % len(self._chords)
        out = np.zeros((len(time), 2))
        for voice, right in enumerate((0.5, 0.3, 0.7, 0.5)):
            semitones = np.array([notes[voice] for notes in self._chords])[chord]
            tone = np.sin(2 * np.pi * self._root * 2 ** (semitones / 12) * within) * swell
            out += tone[:, None] * (1 - right, right)
        return out * 0.5

    def _pluck(self, time: Wave) -> Wave:
        """One chord note at a time, two octaves up."""
        step, within = np.divmod(time, _STEP)
        chord = (time // _CHORD).astype(np.intp) % len(self._chords)
        voice = np.array(_PLUCKS)[step.astype(np.intp) % len(_PLUCKS)]
        semitones = np.array(self._chords)[chord, voice]
        attack = np.minimum(within / 0.005, 1)  # five milliseconds, or it ticks
        tone: Wave = np.sin(2 * np.pi * 4 * self._root * 2 ** (semitones / 12) * within)
        tone *= attack * np.exp(-9 * within)
        return tone
