"""`ilsvrc evaluate` and `predict`: networks on a set of images, and what their answers show."""
