"""Options with which the papers' own ablations are built: shapes and parameters by hand."""

from __future__ import annotations

import pytest

import models


def test_alexnet_pools_windows_that_do_not_overlap():
    """55 -> 27 -> 13 -> 6 either way (section 3.4): nothing but the windows changes."""
    for name in ("alexnet", "alexnet_ungrouped"):
        paper, apart = models.outline(name), models.outline(name, overlapping=False)
        assert apart.count_params() == paper.count_params()
        for layer in ("pool1", "pool2", "pool5"):
            assert paper.get_layer(layer).pool_size == (3, 3)
            assert apart.get_layer(layer).pool_size == (2, 2)
            assert apart.get_layer(layer).output.shape == paper.get_layer(layer).output.shape
    with pytest.raises(models.InvalidOption, match="overlapping must be true or false"):
        models.outline("alexnet", overlapping="no")


def test_nin_weighs_the_positions_of_its_class_maps():
    """Section 4.6: 8 x 8 maps of 10 classes, each position weighed for each class."""
    paper, dense = models.outline("nin_cifar"), models.outline("nin_cifar", head="dense")
    assert dense.count_params() - paper.count_params() == 8 * 8 * 10 * 10 + 10
    names = [layer.name for layer in models.outline("nin_cifar", head="dropped_dense").layers]
    assert names[-3:] == ["flatten", "drop", "fc"]
    with pytest.raises(models.InvalidOption, match="head must be one of pooling, dense"):
        models.outline("nin_cifar", head="none")


def test_a_cifar_network_projects_in_every_unit():
    """C over B: 1x1 convolutions with their normalisations around the seven other of nine units."""
    b, c = (models.outline("resnet20_cifar", shortcut=kind) for kind in "BC")
    more = 3 * (16 * 16 + 4 * 16) + 2 * (32 * 32 + 4 * 32) + 2 * (64 * 64 + 4 * 64)
    assert c.count_params() - b.count_params() == more
