"""`ilsvrc bench`: speed and memory of networks, pipelines and searches, each in its own process."""
