"""`make run`: every process of both roles on one machine, started and stopped together."""
