"""Compares what backends can do with the configuration. Pure: nothing is asked here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from airouter.doctor.examine import Report
from airouter.settings.schema import BackendSettings, Settings

Level = Literal["error", "warning", "hint"]
_SMALL_PART = 0.5  # of a timeout: a first token that takes longer is likely to exceed it under load


@dataclass(frozen=True, slots=True)
class Finding:
    """`error`: something that the configuration names cannot work. `warning`: a default that the
    backend lacks, or something that works badly. `hint`: something that is not used.

    `yaml`: the lines of the configuration to change; "" where no setting helps.
    """

    level: Level
    backend: str
    sentence: str
    yaml: str = ""


def advise(settings: Settings, reports: Mapping[str, Report]) -> list[Finding]:
    """The findings about all backends that were asked, errors first."""
    findings = [
        finding
        for name, report in reports.items()
        if not report.skipped
        for finding in _about(settings, name, report)
    ]
    order = ("error", "warning", "hint")
    return sorted(findings, key=lambda finding: order.index(finding.level))


def lines(path: str, value: Any) -> str:
    """A setting, named with dots, as lines of YAML."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10_000).rstrip()


def _about(settings: Settings, name: str, report: Report) -> Iterator[Finding]:
    spec = settings.backends[name]
    broken = _broken(settings, name, spec, report)
    if broken is not None:
        yield broken
        return
    yield from _kind(name, spec, report)
    yield from _window(name, spec, report)
    yield from _model(name, spec, report)
    yield from _roles(settings, name, report)
    yield from _apis(name, spec, report)
    if name in _answering(settings):
        yield from _answers(name, spec, report)
    yield from _times(settings, name, spec, report)


def _broken(settings: Settings, name: str, spec: BackendSettings, report: Report) -> Finding | None:
    """Why the backend cannot be used at all."""
    chat, models = report.found["chat"], report.found["models"]
    if "key" in (chat.value, models.value) and chat.verdict != "yes":
        evidence = chat.evidence if chat.value == "key" else models.evidence
        doing = "set its right key" if spec.api_key else "set its key"
        where = "XAI_API_KEY" if name == "xai" else f"backends.{name}.api_key"
        return Finding("error", name, f"{_upper(evidence)}; {doing} in {where}.")
    if chat.verdict == "yes" or (_only_embeds(settings, name) and _embeds(report)):
        return None
    if spec.model and report.has("models") == "yes" and spec.model not in models.value:
        return Finding(
            "error",
            name,
            f"It does not serve the model {spec.model!r}, but {models.evidence}.",
            lines(f"backends.{name}.model", models.value[0]),
        )
    asked = models if chat.evidence.startswith("not asked: no model") else chat
    return Finding("error", name, f"It does not answer: {asked.evidence}.")


def _kind(name: str, spec: BackendSettings, report: Report) -> Iterator[Finding]:
    kind = report.found["kind"]
    right = lines(f"backends.{name}.kind", kind.value)
    lacks_health = spec.kind == "vllm" and report.has("health") == "no"
    level: Level = "error" if lacks_health else "warning"
    but = ", whose /health it lacks" if lacks_health else ""
    if kind.verdict == "yes" and kind.value != spec.kind:
        sentence = f"It looks like kind {kind.value} ({kind.evidence}), not {spec.kind}{but}."
        yield Finding(level, name, sentence, right)
    elif kind.verdict == "unknown" and spec.kind == "vllm":
        sentence = f"It is configured as vllm{but}, but there is {kind.evidence}."
        yield Finding(level, name, sentence, right)


def _window(name: str, spec: BackendSettings, report: Report) -> Iterator[Finding]:
    window, set_to = report.found["window"], spec.context_window
    path = f"backends.{name}.context_window"
    if window.verdict != "yes":
        if set_to is None:
            sentence = (
                "Its context window is not known; set it, so that no prompt is sent that is too "
                "long."
            )
            yield Finding("hint", name, sentence, lines(path, "TOKENS"))
    elif set_to is not None and set_to > window.value:
        sentence = f"context_window is {set_to:,}, but it has only {window.evidence}."
        yield Finding("error", name, sentence, lines(path, window.value))
    elif set_to is not None and set_to < window.value:
        sentence = f"context_window is {set_to:,}, but it has {window.evidence}."
        yield Finding("hint", name, sentence, lines(path, window.value))
    elif set_to is None and "/v1/models" not in window.evidence:
        sentence = f"It has {window.evidence}, which the router does not read."
        yield Finding("warning", name, sentence, lines(path, window.value))


def _model(name: str, spec: BackendSettings, report: Report) -> Iterator[Finding]:
    models = report.found["models"]
    if spec.model and models.verdict == "yes" and spec.model not in models.value:
        sentence = f"It answers to the model {spec.model!r}, but lists only {models.evidence}."
        yield Finding("hint", name, sentence, lines(f"backends.{name}.model", models.value[0]))
    if spec.model is None and models.verdict == "yes" and len(models.value) > 1:
        sentence = f"It lists {len(models.value)} models, of which the first is used."
        yield Finding("hint", name, sentence, lines(f"backends.{name}.model", models.value[0]))


def _apis(name: str, spec: BackendSettings, report: Report) -> Iterator[Finding]:
    """The APIs whose requests it is configured to get untranslated."""
    for setting, chosen in (("messages", "native"), ("responses", "pass")):
        if getattr(spec, setting) == chosen and report.has(setting) == "no":
            path = f"backends.{name}.{setting}"
            why = report.evidence(setting)
            sentence = f"{setting} is {chosen}, but it does not serve /v1/{setting} ({why})."
            yield Finding("error", name, sentence, lines(path, "translate"))


def _roles(settings: Settings, name: str, report: Report) -> Iterator[Finding]:
    """What the rest of the configuration uses the backend for."""
    one_token = settings.cascade.one_token
    tiers = settings.cascade.tiers
    kind = settings.backends[name].kind
    unable = report.has("choice") == "no" or kind != "vllm"
    if "one_token" in tiers and _is(settings, one_token.backend, name) and unable:
        why = report.evidence("choice") if kind == "vllm" else f"kind {kind}, not vllm"
        others = [tier for tier in tiers if tier != "one_token"]
        is_vllm = report.has("choice") == "yes" and report.found["kind"].value == "vllm"
        yield Finding(
            "error" if "backend" in one_token.model_fields_set else "warning",
            name,
            "The tier one_token cannot use it: it does not answer with one constrained token and "
            f"its probability ({why}).",
            lines(f"backends.{name}.kind", "vllm") if is_vllm else lines("cascade.tiers", others),
        )
    if _is(settings, settings.embeddings, name) and not _embeds(report):
        if report.has("embeddings") == "no":
            sentence = f"It has no embeddings ({report.evidence('embeddings')})."
            yield Finding("error", name, sentence, lines("embeddings", None))
        else:
            sentence = f"It has given no embeddings ({report.evidence('embeddings')})."
            yield Finding("warning", name, sentence)
    elif settings.embeddings is None and _embeds(report):
        sentence = "It has embeddings, which the router does not offer."
        yield Finding("hint", name, sentence, lines("embeddings", name))
    search = settings.enrichment
    if search.backend == name and kind != "xai":
        yield Finding("warning", name, f"It cannot search the web: only kind xai can, not {kind}.")
    elif search.backend == name and report.has("responses") == "no":
        yield Finding(
            "error" if "backend" in search.model_fields_set else "warning",
            name,
            f"It cannot search the web: /v1/responses is missing ({report.evidence('responses')}).",
        )


def _answers(name: str, spec: BackendSettings, report: Report) -> Iterator[Finding]:
    """What matters for a backend that answers clients."""
    vision, seen = f"backends.{name}.vision", report.has("vision")
    if seen == "no" and spec.vision is not False:
        level: Level = "error" if spec.vision else "warning"
        said = "vision is true, but it" if spec.vision else "It"
        sentence = f"{said} accepts no pictures ({report.evidence('vision')})."
        yield Finding(level, name, sentence, lines(vision, False))
    elif seen == "yes" and spec.vision is not True:
        yield Finding("hint", name, "It accepts pictures.", lines(vision, True))
    yield from _continues(name, spec, report)
    if report.has("tools") == "no":
        yield Finding("warning", name, f"It calls no tools: {report.evidence('tools')}.")
    if report.has("structured_output") == "no":
        sentence = f"It follows no JSON schema: {report.evidence('structured_output')}."
        yield Finding("warning", name, sentence)
    if (
        report.has("thinking") == "yes"
        and report.has("thinking_switch") == "no"
        and spec.max_tokens_policy == "pass"
    ):
        yield Finding(
            "warning",
            name,
            "It always thinks, so that a client's small max_tokens leaves no answer.",
            lines(f"backends.{name}.reasoning", True),
        )


def _continues(name: str, spec: BackendSettings, report: Report) -> Iterator[Finding]:
    path = f"backends.{name}.continues"
    if spec.continues == "prefill":
        if report.has("prefill") == "no":
            sentence = f"It does not continue a cut answer: {report.evidence('prefill')}."
            auto = spec.kind == "vllm" and report.has("continuation") == "yes"
            yield Finding("error", name, sentence, lines(path, "auto" if auto else "none"))
    elif spec.continues == "auto" and spec.kind == "vllm":
        if report.has("continuation") == "no":
            sentence = f"It does not continue a cut answer: {report.evidence('continuation')}."
            yield Finding("warning", name, sentence, lines(path, "none"))
    elif report.has("prefill") == "yes":
        sentence = "It could continue a cut answer from its beginning."
        yield Finding("hint", name, sentence, lines(path, "prefill"))


def _times(
    settings: Settings, name: str, spec: BackendSettings, report: Report
) -> Iterator[Finding]:
    ttft = report.measured.ttft_ms
    if ttft is None:
        return
    seconds = ttft / 1000
    if seconds > spec.first_byte_failover * _SMALL_PART and name in _answering(settings):
        yield Finding(
            "warning",
            name,
            f"Its first token takes {seconds:.1f} s, and after {spec.first_byte_failover:g} s "
            "another backend takes over.",
            lines(f"backends.{name}.first_byte_failover", round(seconds * 4)),
        )
    for tier in ("decision_model", "one_token", "reasoning"):
        section = getattr(settings.cascade, tier)
        used = tier in settings.cascade.tiers and _is(settings, section.backend, name)
        if used and seconds > section.timeout:
            yield Finding(
                "warning",
                name,
                f"Its first token takes {seconds:.1f} s, longer than the tier {tier} waits.",
                lines(f"cascade.{tier}.timeout", round(seconds * 2)),
            )


def _answering(settings: Settings) -> set[str]:
    return {name for r in settings.routes.values() for name in settings.expanded(r.backends)}


def _only_embeds(settings: Settings, name: str) -> bool:
    """Whether the configuration uses the backend for embeddings alone."""
    cascade = settings.cascade
    others = {
        *_answering(settings),
        *settings.expanded(
            (
                settings.enrichment.backend,
                cascade.decision_model.backend,
                cascade.one_token.backend,
                cascade.reasoning.backend,
            )
        ),
    }
    return _is(settings, settings.embeddings, name) and name not in others


def _is(settings: Settings, configured: str | None, name: str) -> bool:
    """Whether a configured name means a backend: its own, or that of its group."""
    return configured is not None and name in settings.expanded((configured,))


def _embeds(report: Report) -> bool:
    return report.has("embeddings") == "yes"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
