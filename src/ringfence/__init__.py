"""Ringfence: run AI-agent chains as if every agent were hostile, and keep the proof."""

__version__ = "0.1.0"
