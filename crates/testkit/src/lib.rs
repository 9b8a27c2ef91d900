//! Connects protocol machines in memory for tests: pairs, time, loss, adversaries.
