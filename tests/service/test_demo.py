"""What the demo prints."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from service.demo import _report
from tests.house import settings_for


def test_brackets_in_an_error_are_text(tmp_path: Path) -> None:
    console = Console(record=True, width=200)
    scene = {
        "scenario": "hook",
        "video_url": None,
        "error": 'run: pip install "scenewright[media]"',
        "cost_usd": None,
    }
    code = _report(console, settings_for(tmp_path), {"overall_status": "failed", "scenes": [scene]})
    assert code == 1
    assert '"scenewright[media]"' in console.export_text()


def test_the_cost_of_paid_scenes_is_summed_up(tmp_path: Path) -> None:
    console = Console(record=True, width=200)
    scenes = [
        {"scenario": name, "video_url": f"/outputs/{name}.mp4", "error": None, "cost_usd": cost}
        for name, cost in (("hook", 0.42), ("cta", 0.2))
    ]
    code = _report(console, settings_for(tmp_path), {"overall_status": "completed", "scenes": scenes})
    text = console.export_text()
    assert code == 0
    assert "The provider charged $0.62" in text
    assert str(tmp_path / "outputs" / "hook.mp4") in text
