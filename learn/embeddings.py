"""Sentence embeddings of the labelled prompts, kept in a file, because computing 14,000 of them
takes a quarter of an hour on one core."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from airouter.classify.encoder.engine import SHA256, SIZE, Embed, load_engine
from learn.data import ROOT

FILE = ROOT / "data" / "encoder-cache.npz"  # ignored by git
_SAVE_EVERY = 500


def embeddings(texts: Sequence[str], file: Path = FILE) -> NDArray[np.float32]:
    """(n, 384). Computes what the file lacks, reports progress, and adds it to the file.

    Raises:
        EncoderUnusable: something is lacking, and the encoder cannot be loaded.
    """
    known = _read(file)
    keys = [_key(text) for text in texts]
    lacking = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
    embed: Embed | None = None
    for done, (key, text) in enumerate(lacking.items(), 1):
        embed = embed or load_engine()
        known[key] = embed(text)
        if done % _SAVE_EVERY == 0 or done == len(lacking):
            _write(file, known)
            print(f"  {done} of {len(lacking)} texts embedded", flush=True)
    return np.stack([known[key] for key in keys]) if keys else np.empty((0, SIZE), np.float32)


def _key(text: str) -> bytes:
    digest = hashlib.blake2b(SHA256.encode(), digest_size=16)
    digest.update(text.encode())
    return digest.digest()


def _read(file: Path) -> dict[bytes, NDArray[np.float32]]:
    if not file.exists():
        return {}
    with np.load(file, allow_pickle=False) as arrays:
        keys, vectors = arrays["keys"], arrays["vectors"]
    return {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=True)}


def _write(file: Path, known: dict[bytes, NDArray[np.float32]]) -> None:
    keys = np.frombuffer(b"".join(known), np.uint8).reshape(-1, 16)
    partial = file.with_suffix(".part.npz")
    np.savez(partial, keys=keys, vectors=np.stack(list(known.values())))
    os.replace(partial, file)
