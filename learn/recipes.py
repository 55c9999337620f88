"""The recipe that is trained, and the ones it was chosen over (leave-one-origin-out; `python -m learn.compare` repeats it)."""

from airouter.routing.text_features import Spec
from learn.fit import Recipe
from learn.network import Training

CHOSEN = Recipe(
    spec=Spec(ngrams=(1, 2, 3, 4), word_weight=1.3, head_weight=0.5),
    training=Training(hidden=64, epochs=10, dropout=0.3),
)
