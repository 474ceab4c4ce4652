"""Registration without training: an affine map and a velocity, found on the pair itself, from coarse to fine."""
