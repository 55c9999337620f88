"""`python -m airouter evaluate FILE.jsonl …`: accuracy of the cascade on labelled prompts.

A line is {"messages": [...], "label": "PRIMARY|COMPLEX|ENRICH|META", "also_ok": [...]}; `lang`,
`origin`, `tools` (names or definitions) and `request` (further fields of the request) are optional.
A decision is correct if it is the label or in `also_ok`; for META, PRIMARY is also correct, because
the prompt stays local without a search. A prompt is covered if the rules, cache or learned tier
decided it without a model call. A harmful error is ENRICH or COMPLEX sent to the primary, as a
share of covered prompts.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from airouter.classify.features import features_of
from airouter.dialects.openai_request import parse_request
from airouter.domain.errors import ConfigError, RouterError
from airouter.domain.labels import CLASS_OF_LABEL, CLASSES
from airouter.domain.types import Features
from airouter.evaluation.decider import COVERING_TIERS, Deciders, local_deciders
from airouter.evaluation.groups import flips, shapes_of
from airouter.evaluation.outcome import Outcome
from airouter.evaluation.picture import draw
from airouter.evaluation.render import text
from airouter.evaluation.report import figures
from airouter.evaluation.shapes import SHAPES, changed
from airouter.settings.cascade import CascadeSettings, LearnedTierSettings
from airouter.settings.load import ROOT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `evaluate` to a parser."""
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE.jsonl",
        help="labelled prompts, one JSON object per line",
    )
    parser.add_argument(
        "--offline",
        action="store_true",
        help="use only the tiers that call no model server; needs no backend",
    )
    parser.add_argument(
        "--shape",
        action="append",
        choices=tuple(SHAPES),
        default=[],
        help="decide each prompt once more in this shape, and show which decisions change; may be "
        "repeated",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the results as JSON")
    parser.add_argument(
        "--png",
        type=Path,
        metavar="OUT",
        help="plot the risk/coverage curve and the confusion matrix",
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=ROOT / "data" / "model",
        help="directory of the learned model (with --offline)",
    )


def run(args: argparse.Namespace, configured: Deciders | None = None) -> int:
    """Evaluate the prompts, print the report and write the requested files; returns the exit
    status.

    Args:
        configured: the configured cascade, for a run without --offline. May call backends and raise
            RouterError.

    Raises:
        ConfigError: a file, the model or the arguments are invalid, or a file cannot be written.
    """
    if configured is None and not args.offline:
        raise ConfigError("The configured backends are not available here; use --offline.")
    records = [record for file in args.files for record in read(file)]
    if not records:
        names = ", ".join(map(str, args.files))
        raise ConfigError(f"{names}: the file contains no prompts.")
    if args.offline:
        learned = LearnedTierSettings(model=args.model)
        deciders = local_deciders(CascadeSettings(learned=learned))
    else:
        assert configured is not None
        deciders = configured
    found = evaluated(records, deciders, tuple(dict.fromkeys(args.shape)))
    print(text(found))
    try:
        if args.json:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n")
        if args.png:
            draw(found, args.png)
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}.") from None
    return 0


def evaluated(
    records: Sequence[Mapping[str, Any]], deciders: Deciders, shapes: Sequence[str] = ()
) -> dict[str, Any]:
    """The figures of labelled prompts; with `changed`, the effect of each shape."""
    from airouter.sessions.terminal import progress

    outcomes: list[Outcome] = []
    pairs: dict[str, list[tuple[Outcome, Outcome]]] = {shape: [] for shape in shapes}
    with progress("prompts") as advance:
        for done, record in enumerate(records):
            if done % 100 == 0:
                advance(done, len(records))
            outcomes.append(outcome(record, deciders))
            for shape, of_shape in pairs.items():
                other = changed(record, shape)
                if other is not None:
                    of_shape.append((outcomes[-1], outcome(other, deciders)))
    found = figures(outcomes)
    if shapes:
        found["changed"] = {shape: flips(of_shape) for shape, of_shape in pairs.items()}
    return found


def outcome(record: Mapping[str, Any], deciders: Deciders) -> Outcome:
    """Decide one prompt of a file; after an error of the cascade, the outcome is undecided."""
    label = record["label"]
    accepted = frozenset({label, *record.get("also_ok", ())})
    if label == "META":  # as PRIMARY, it is also answered locally and without a search
        accepted |= {"PRIMARY"}
    features = _features(record)
    return replace(
        _decided(label, accepted, features, deciders),
        lang=str(record.get("lang", "not stated")),
        origin=str(record.get("origin", "")),
        shapes=shapes_of(features),
    )


def _decided(
    label: str, accepted: frozenset[str], features: Features, deciders: Deciders
) -> Outcome:
    try:
        decision = deciders.decide(features)
    except RouterError as error:
        away = CLASS_OF_LABEL[deciders.away(features).label]
        return Outcome(
            label, accepted, None, False, None, None, None, {}, 0.0, error.code, away=away
        )
    decided = CLASS_OF_LABEL.get(decision.label)
    covered = decided is not None and decision.tier in COVERING_TIERS
    judged = next(
        (v for v in reversed(decision.verdicts) if v.p is not None and (v.label or v.guess)), None
    )
    guess = judged and (judged.label or judged.guess)
    # The cache may hold what a model decided.
    same = covered and decision.tier != "cache"
    return Outcome(
        label,
        accepted,
        decided,
        covered=covered,
        tier=decision.tier if decided else None,
        p=judged.p if judged else None,
        guess=CLASS_OF_LABEL[guess] if guess else None,
        ms={verdict.tier: verdict.ms for verdict in decision.verdicts},
        total_ms=decision.ms,
        away=decided if same else CLASS_OF_LABEL[deciders.away(features).label],
    )


def _features(record: Mapping[str, Any]) -> Features:
    payload = {"messages": record["messages"], **record.get("request", {})}
    if record.get("tools"):
        payload["tools"] = [
            {"type": "function", "function": {"name": tool}} if isinstance(tool, str) else tool
            for tool in record["tools"]
        ]
    return features_of(parse_request("chat", payload))


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
            _features(record)
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
