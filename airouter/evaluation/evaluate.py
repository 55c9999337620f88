"""`python -m airouter evaluate FILE.jsonl`: accuracy of the cascade on labelled prompts.

A line is {"messages": [...], "label": "PRIMARY|COMPLEX|ENRICH|META", "also_ok": [...]}. A decision
is correct if it is the label or in `also_ok`; for META, PRIMARY is also correct, because the prompt
stays local without a search. A prompt is covered if the rules, cache or learned tier decided it
without a model call. A harmful error is ENRICH or COMPLEX sent to the primary, as a share of
covered prompts.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from airouter.classify.features import features_of
from airouter.classify.learned.text_model import load_model
from airouter.classify.tiers.learned import LearnedTier
from airouter.classify.tiers.rules import RulesTier
from airouter.dialects.openai_request import parse_request
from airouter.domain.clock import Clock
from airouter.domain.errors import ConfigError, RouterError
from airouter.domain.labels import CLASS_OF_LABEL, CLASSES
from airouter.domain.types import Decision, Features, Verdict
from airouter.evaluation.picture import draw
from airouter.evaluation.report import Outcome, figures, text
from airouter.settings.load import ROOT

INSTANT_TIERS = frozenset({"rules", "cache", "learned"})

# Runs the cascade for one request; the composition root passes the configured one.
Decider = Callable[[Features], Decision]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `evaluate` to a parser."""
    parser.add_argument(
        "file", type=Path, metavar="FILE.jsonl", help="labelled prompts, one JSON object per line"
    )
    parser.add_argument(
        "--offline",
        action="store_true",
        help="use the rules and learned tiers only; needs no backend",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the results as JSON")
    parser.add_argument(
        "--png",
        type=Path,
        metavar="OUT",
        help="plot the coverage/accuracy curve and the confusion matrix",
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=ROOT / "data" / "model",
        help="directory of the learned model (with --offline)",
    )


def run(args: argparse.Namespace, decider: Decider | None = None) -> int:
    """Evaluate the prompts, print the report and write the requested files; returns the exit
    status.

    Args:
        decider: the configured cascade, for a run without --offline. May call backends and raise
            RouterError.

    Raises:
        ConfigError: the file, the model or the arguments are invalid.
    """
    if decider is None and not args.offline:
        raise ConfigError("The configured backends are not available here; use --offline.")
    decide = offline_decider(args.model) if args.offline else decider
    assert decide is not None
    outcomes = [outcome(record, decide) for record in read(args.file)]
    if not outcomes:
        raise ConfigError(f"{args.file}: the file contains no prompts.")
    found = figures(outcomes)
    print(text(found))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n")
    if args.png:
        draw(found, args.png)
    return 0


def offline_decider(model: Path) -> Decider:
    """A decider that runs the rules and the learned tier of `model`, a folder. If both abstain, the
    decision's label is "".

    Raises:
        ConfigError: the model is missing or invalid.
    """
    clock = Clock()
    tiers = (RulesTier(), LearnedTier(load_model(model), clock))

    def decide(features: Features) -> Decision:
        began = time.perf_counter()
        verdicts: list[Verdict] = []
        for tier in tiers:
            tier_began = time.perf_counter()
            verdict = tier.vote(features)
            verdicts.append(replace(verdict, ms=(time.perf_counter() - tier_began) * 1000))
            if verdict.label is not None:
                break
        last = verdicts[-1]
        ms = (time.perf_counter() - began) * 1000
        return Decision(last.label or "", last.tier, last.p, last.threshold, ms, tuple(verdicts))

    return decide


def outcome(record: dict[str, Any], decide: Decider) -> Outcome:
    """Decide one prompt of a file; after an error of the cascade, the outcome is undecided."""
    label = record["label"]
    accepted = frozenset({label, *record.get("also_ok", ())})
    if label == "META":  # as PRIMARY, it is also answered locally and without a search
        accepted |= {"PRIMARY"}
    features = features_of(
        parse_request("chat", {"messages": record["messages"], **record.get("request", {})})
    )
    try:
        decision = decide(features)
    except RouterError as error:
        return Outcome(label, accepted, None, False, None, None, None, {}, 0.0, error.code)
    decided = CLASS_OF_LABEL.get(decision.label)
    judged = next(
        (v for v in reversed(decision.verdicts) if v.p is not None and (v.label or v.guess)), None
    )
    guess = judged and (judged.label or judged.guess)
    return Outcome(
        label,
        accepted,
        decided,
        covered=decided is not None and decision.tier in INSTANT_TIERS,
        tier=decision.tier if decided else None,
        p=judged.p if judged else None,
        guess=CLASS_OF_LABEL[guess] if guess else None,
        ms={verdict.tier: verdict.ms for verdict in decision.verdicts},
        total_ms=decision.ms,
    )


def read(path: Path) -> Iterable[dict[str, Any]]:
    """The labelled prompts of a file, one JSON object per line.

    Raises:
        ConfigError: the file cannot be read, or a line is invalid; the message names the line.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: the file cannot be read ({error.strerror}).") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = orjson.loads(line)
            parse_request("chat", {"messages": record["messages"]})
            labels = {record["label"], *record.get("also_ok", ())}
        except (orjson.JSONDecodeError, RouterError, KeyError, TypeError, AttributeError):
            raise ConfigError(
                f"{path}:{number}: each line is an object with messages and a label."
            ) from None
        if not labels <= set(CLASSES):
            raise ConfigError(f"{path}:{number}: a label is one of {', '.join(CLASSES)}.")
        yield record


def main(arguments: Sequence[str]) -> int:
    """Run the command by itself, as `python -m airouter.evaluation.evaluate`."""
    parser = argparse.ArgumentParser(
        prog="airouter evaluate", description=(__doc__ or "").splitlines()[0]
    )
    add_arguments(parser)
    try:
        return run(parser.parse_args(arguments))
    except ConfigError as error:
        print(f"ai-router: {error.message}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
