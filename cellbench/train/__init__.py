"""Training one model on one level."""
