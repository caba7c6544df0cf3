"""Time models side by side: cases, baselines, timing, reports."""
