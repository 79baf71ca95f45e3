"""Results on disk: the journal is the truth, everything else is made from it."""
