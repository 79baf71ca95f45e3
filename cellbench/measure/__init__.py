"""Time, memory, operations, state size and environment; knows no cell."""
