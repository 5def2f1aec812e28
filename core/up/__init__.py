"""`up`: lock, sync, build and launch of a preset as one operation that skips what is done."""
