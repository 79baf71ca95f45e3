"""Names to units, units to records."""
