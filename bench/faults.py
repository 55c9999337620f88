"""Every fault of the simulator, streaming and not, against a chain of two tiers: what the client
gets, and who was asked."""

import argparse

from bench.chain import Chain, Tier, chain
from bench.client import Answer, Failure
from bench.fault_cases import CASES, TOKENS, Case
from bench.outcome import UNBEARABLE, Card, Outcome, as_promised, outcome_of
from bench.result import NOTHING, Promises, Result, ms
from bench.sampling import Sampler

WORDS = TOKENS - 8  # an answer's first eight tokens are its heading
LIMIT_S = 10.0  # longer than the router's own limits over both tiers taken together: then it hangs
GAP_S = 1.0
COLUMNS = ("fault of the first tier", "mode", "outcome", "promised", "1st saw", "2nd saw", "s",
    "gap ms", "ok")  # fmt: skip

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


def tiers(second: str) -> tuple[Tier, Tier]:
    """A vLLM, and a vLLM with a larger window or an Ollama."""
    role = "primary" if second == "vllm" else "ollama"
    small, large = ({**_LIMITS, "context_window": window} for window in (32_768, 131_072))
    return (
        Tier("first", "primary", "first-model", small, _MANNERS),
        Tier("second", role, "second-model", large, _MANNERS),
    )


def run(sampler: Sampler, args: argparse.Namespace) -> list[Result]:
    """The scorecard, and the promises drawn from it."""
    cases = [case for case in CASES if case.quick or not args.quick]
    effective = sum(1 if case.only else 2 for case in cases)
    title = f"{2 * len(cases)} combinations of fault and mode, two tiers ({effective} in which the fault has something to act on)"
    card = _Card(Result("faults", title, COLUMNS))
    sampler.meter.start("faults", 1.6 * 2 * len(cases))
    with sampler.interruptible():
        try:
            for second in dict.fromkeys(case.second for case in cases):
                with chain(tiers(second), _CONFIG) as where:
                    for case in (case for case in cases if case.second == second):
                        for stream in (True, False):
                            mode = "streaming" if stream else "whole"
                            sampler.meter.row(f"{case.name}, {mode}", 1.6)
                            card.add(case, stream, *_one(where, case, stream))
                    card.left_behind += where.slots_in_use()
        except Failure as failure:
            card.stopped = str(failure)
    card.table.notes += [
        "1st, 2nd saw: generation requests that reached the tier (a refused or reset connection brings none)",
        "gap: the longest silence between two pieces of a stream",
    ]
    return [card.table, card.promises().result]


def _one(where: Chain, case: Case, stream: bool) -> tuple[Answer, int, int]:
    """The answer, and what each tier saw of it."""
    where.recovered()
    if case.fault == "reset_before_read":
        # It acts on new connections only: have the router lose those that it keeps.
        where.fault("first", "refuse")
        where.simulators["first"].accept("primary")
    for name in where.tiers if case.everywhere else ("first",):
        where.fault(name, case.fault, **case.params)
    answer = where.ask("Tell me something about rivers.", limit=LIMIT_S, stream=stream)
    return answer, where.seen("first"), where.seen("second")


class _Card(Card):
    def __init__(self, table: Result) -> None:
        super().__init__(table)
        self._missed: list[str] = []
        self._gaps: dict[str, float] = {}
        self.stopped = ""

    def add(self, case: Case, stream: bool, answer: Answer, first: int, second: int) -> None:
        outcome = outcome_of(answer, WORDS)
        promised = case.streamed if stream else case.plain
        kept = as_promised(outcome, promised) and not (case.second_untouched and second)
        mode = "stream" if stream else "whole"
        shown = mode if case.only in ("", mode) else f"{mode} (no effect)"
        self.outcomes[outcome] += 1
        if not kept and outcome not in UNBEARABLE:
            self._missed.append(f"{case.name} ({mode})")
        # A pause that the fault itself is long enough to explain is not the router's.
        cut = case.fault in ("cut", "cut_clean", "error_event")
        if stream and outcome is Outcome.WHOLE and cut:
            self._gaps[case.name] = answer.gap
        gap = answer.gap if stream and answer.arrivals else None
        self.table.add(
            (case.name, shown, str(outcome), promised, str(first), str(second),
            f"{answer.seconds:.2f}",
             ms(gap, 0) if gap is not None else NOTHING, "yes" if kept else "NO"),
            fault=case.fault, params=dict(case.params), mode=mode,
            effective=shown == mode, outcome=str(outcome), promised=promised, first_saw=first,
            second_saw=second, seconds=answer.seconds, gap_s=gap, kept=kept, status=answer.status,
        )  # fmt: skip
        if not kept:
            self.explain(f"{case.name} ({mode})", answer)

    def promises(self) -> Promises:
        found = Promises("faults", "What was promised")
        self.judge(found)
        found.check(
            "not rescued though the next tier can, or not as promised", "0",
            ", ".join(self._missed) or "0", not self._missed
        )  # fmt: skip
        if self._gaps:
            longest = max(self._gaps, key=self._gaps.__getitem__)
            found.check(
                "gap in a stream that was cut and continued", f"≤ {GAP_S:g} s",
                f"{ms(self._gaps[longest])} ms ({longest})",
                self._gaps[longest] <= GAP_S, gaps_s=self._gaps,
            )  # fmt: skip
        if self.stopped:
            found.check("every tier recovers between two faults", "yes", self.stopped[:300], False)
        found.note(
            "rescued whole / clean error",
            f"{self.outcomes[Outcome.WHOLE]} / {self.outcomes[Outcome.ERROR]}",
        )
        return found
