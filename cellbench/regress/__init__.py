"""Is this change worse? The gate, its calibration, and the history of a project."""
