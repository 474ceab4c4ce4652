"""FreeSurfer subjects to the layout of the brain data set."""
