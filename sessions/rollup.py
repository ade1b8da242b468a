"""Scenes -> state and progress of their job. Pure."""

from __future__ import annotations

from collections.abc import Collection

from sessions.model import TERMINAL, JobState, SceneState


def job_state(states: Collection[SceneState]) -> JobState:
    """The job's state as document 002 defines it; ``states`` holds one entry per scene."""
    if not all(state in TERMINAL for state in states):
        waiting = all(state is SceneState.QUEUED for state in states)
        return JobState.QUEUED if waiting else JobState.RUNNING
    succeeded = sum(state is SceneState.SUCCEEDED for state in states)
    if succeeded == len(states):
        return JobState.SUCCEEDED
    if succeeded:
        return JobState.PARTIAL
    if all(state is SceneState.CANCELLED for state in states):
        return JobState.CANCELLED
    return JobState.FAILED


def job_progress(percents: Collection[int]) -> int:
    """Mean of the scenes' percent, rounded down, so that 100 means that all have 100."""
    return sum(percents) // len(percents)
