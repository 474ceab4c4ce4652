"""The data sets of the paper, one file each, and where to download them."""
