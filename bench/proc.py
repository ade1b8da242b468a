"""What a process has used, as Linux tells it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Usage:
    """Figures of one process; None where there is no /proc."""

    pid: int

    def cpu_seconds(self) -> float | None:
        """Processor time so far, user and system."""
        return self._cpu(11, 13)

    def cpu_seconds_of_children(self) -> float | None:
        """... of its children that have ended and been waited for."""
        return self._cpu(13, 15)

    def resident_mib(self) -> float | None:
        return self._memory("VmRSS")

    def peak_mib(self) -> float | None:
        """The most that was resident since the start, or since ``forget_peak``."""
        return self._memory("VmHWM")

    def forget_peak(self) -> None:
        """Let ``peak_mib`` begin anew."""
        (self._folder / "clear_refs").write_text("5", encoding="ascii")

    @property
    def _folder(self) -> Path:
        return Path(f"/proc/{self.pid}")

    def _cpu(self, first: int, last: int) -> float | None:
        try:
            stat = (self._folder / "stat").read_text(encoding="ascii")
        except OSError:
            return None
        return sum(map(int, stat.rpartition(")")[2].split()[first:last])) / os.sysconf("SC_CLK_TCK")

    def _memory(self, name: str) -> float | None:
        try:
            lines = (self._folder / "status").read_text(encoding="ascii").splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), None)
