"""Executors: in this process, in workers of this machine, on Ray; and workers that die."""
