"""Simplifications of attention heads, one small file a family. The first three kinds are those of Friedman et al. (2024).

A new proxy is one more class that derives from `Proxy`: give it a name, a label, what its complexity counts, and a `fit`.
"""

from lib.proxies.base import MODEL, PROXIES, TRAINING, Arrays, Fitter, Head, LayerRule, Proxy, Simplification
from lib.proxies.kmeans import KMeans, nearest
from lib.proxies.learned import LearnedSubspace
from lib.proxies.one_hot import OneHot
from lib.proxies.svd import SVD, JointSVD, RandomSubspace, Subspace, UncentredSVD
from lib.proxies.weight_svd import WeightSVD

__all__ = [
    "MODEL", "PROXIES", "SVD", "TRAINING", "Arrays", "Fitter", "Head", "JointSVD", "KMeans", "LayerRule",
    "LearnedSubspace", "OneHot", "Proxy", "RandomSubspace", "Simplification", "Subspace", "UncentredSVD",
    "WeightSVD", "nearest",
]  # fmt: skip
