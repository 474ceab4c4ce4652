"""One problem, several solvers: the objective, and what minimises it for a pair of images."""
