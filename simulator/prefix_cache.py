"""Prefix cache: the leading blocks of prompts that have already been computed."""

from __future__ import annotations

from collections import OrderedDict

from simulator.text import BLOCK_CHARS


class PrefixCache:
    """LRU eviction. The key of a block covers all preceding blocks, as in vLLM."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def lookup_and_store(self, prompt: str) -> int:
        """Cache all full blocks; returns how many leading blocks were cached already."""
        if self.capacity <= 0:
            return 0
        blocks = self._blocks
        hits, missed, key = 0, False, 0
        for start in range(0, len(prompt) - BLOCK_CHARS + 1, BLOCK_CHARS):
            key = hash((key, prompt[start : start + BLOCK_CHARS]))
            if key in blocks:
                blocks.move_to_end(key)
                hits += not missed
            else:
                missed = True
                blocks[key] = None
        while len(blocks) > self.capacity:
            blocks.popitem(last=False)
        return hits

    def clear(self) -> None:
        self._blocks.clear()
