"""Tracking: linking the poses of successive frames into tracks."""

from shoal_core.tracking.tracker import Tracker, WindowTracker

__all__ = ["Tracker", "WindowTracker"]
