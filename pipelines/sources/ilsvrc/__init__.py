"""ILSVRC 2012 and Tiny ImageNet in the layouts in which they are given out."""
