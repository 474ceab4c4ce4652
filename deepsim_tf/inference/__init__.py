"""Using a registration model on the user's own files: register, refine, warp, compose and invert flows, in batches."""
