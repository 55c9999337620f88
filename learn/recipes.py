"""The recipe that is trained, and the ones it was chosen over (leave-one-origin-out; `python -m learn.compare` repeats it)."""

from airouter.classify.learned.text_features import Spec
from learn.fit import Recipe
from learn.network import Training

CHOSEN = Recipe(
    spec=Spec(bits=20, ngrams=(1, 2, 3, 4, 5), word_weight=1.5, head_weight=0.5),
    training=Training(hidden=64, epochs=10, dropout=0.5),
    dense_weight=0.2,
    least=4,
)
