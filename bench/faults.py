"""Every fault of the simulator, streaming and not, against a chain of two tiers: what the client
gets, and who was asked."""

import argparse

from bench.card import Card, ask
from bench.fault_cases import CASES, TOKENS
from bench.result import Result, Sampler
from bench.stand import Tier, chain

LIMIT_S = 10.0  # longer than the router's own limits over both tiers taken together: then it hangs

# Short limits, so that a run takes a minute; what is compared is what comes out, not how long the
# limits are.
_LIMITS = {
    "connect_timeout": 1, "first_byte_timeout": 0.6, "idle_timeout": 0.6, "total_timeout": 2,
    "allowed_fails": 1, "cooldown": 0.2, "breaker_fails": 5, "breaker_reset": 0.5,
}  # fmt: skip
_CONFIG = {
    "probes": {"enabled": False},  # each fault is to be found by the request itself
    "queue": {"hold_wait": 0.5},
    "timeouts": {"total": 8},
}
_MANNERS = {"answer_short": TOKENS, "tps": 500, "ttft_ms": 10, "ttft_nonstream_ms": 10}


def tiers(then_ollama: bool) -> tuple[Tier, Tier]:
    """A vLLM, and a vLLM with a larger window or an Ollama."""
    role = "ollama" if then_ollama else "primary"
    small, large = ({**_LIMITS, "context_window": window} for window in (32_768, 131_072))
    return (
        Tier("first", "primary", "first-model", small, _MANNERS),
        Tier("second", role, "second-model", large, _MANNERS),
    )


def run(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """The scorecard, and the promises drawn from it."""
    cases = [case for case in CASES if case.quick or not args.quick]
    effective = sum(1 if case.only else 2 for case in cases)
    card = Card(
        "faults",
        f"{2 * len(cases)} combinations of fault and mode, two tiers "
        f"({effective} in which the fault has something to act on)",
    )
    with sampler.interruptible(), card.promises.answered():
        for then_ollama in dict.fromkeys(case.then_ollama for case in cases):
            with chain(tiers(then_ollama), _CONFIG) as where:
                for case in (case for case in cases if case.then_ollama == then_ollama):
                    for stream in (True, False):
                        sampler.row(f"{case.name}, {'streaming' if stream else 'whole'}")
                        where.recovered()
                        if case.faults[0].name == "reset_before_read":
                            # It acts on new connections only: have the router lose its own.
                            where.fault("first", "refuse")
                            where.simulators["first"].accept("primary")
                        card.add(case, stream, ask(where, case, stream, LIMIT_S))
                card.left_behind += where.slots_in_use()
    return card.results()
