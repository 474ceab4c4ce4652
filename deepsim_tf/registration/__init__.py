"""One problem, several solvers: the objective, and what minimises it for a pair of images."""

from deepsim_tf.registration.objective import Objective, objective
from deepsim_tf.registration.pairwise.optimizer import PairwiseOptimizer
from deepsim_tf.registration.prediction import Pair, Prediction
from deepsim_tf.registration.refined import Refined, refine_flow
from deepsim_tf.registration.solver import FunctionSolver, Identity, Solver

__all__ = [
    "FunctionSolver",
    "Identity",
    "Objective",
    "Pair",
    "PairwiseOptimizer",
    "Prediction",
    "Refined",
    "Solver",
    "objective",
    "refine_flow",
]
