"""The network side: HTTP, MLLP and the worker behind them, in one process."""
