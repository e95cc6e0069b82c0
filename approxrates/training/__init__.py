"""The one trainer: many replicas of one architecture at once, hand-written derivatives, plans of stages, outcomes."""

from approxrates.training.adam import Adam
from approxrates.training.base import Outcome, Progress, Stage
from approxrates.training.fit import fit_members, train
from approxrates.training.lbfgs import LBFGS
from approxrates.training.levenberg_marquardt import LevenbergMarquardt
from approxrates.training.minimax import Minimax
from approxrates.training.model_run import ModelFit
from approxrates.training.models import train_model
from approxrates.training.plans import resolve_plan, stage_from_spec
from approxrates.training.points import n_samples
from approxrates.training.result import Fit
from approxrates.training.sgd import SGD
from approxrates.training.soap import SOAP
from approxrates.training.ssbfgs import SelfScaledBFGS

__all__ = [
    "LBFGS",
    "SGD",
    "SOAP",
    "Adam",
    "Fit",
    "LevenbergMarquardt",
    "Minimax",
    "ModelFit",
    "Outcome",
    "Progress",
    "SelfScaledBFGS",
    "Stage",
    "fit_members",
    "n_samples",
    "resolve_plan",
    "stage_from_spec",
    "train",
    "train_model",
]
