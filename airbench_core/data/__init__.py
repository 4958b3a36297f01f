"""Data sets: found, fetched, verified or drawn. Nobody has to read this to understand a training."""

DATASETS = ("cifar10", "cifar100", "svhn", "fashionmnist", "builtin")  # their names
