"""Builds the tiers of the cascade by their configured names. A new tier is a module in tiers/ and
an entry in `BUILDERS`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from airouter.classify.cascade import CallingTier, InstantTier
from airouter.classify.encoder.engine import PACKAGE, is_installed
from airouter.classify.encoder.head import load_head
from airouter.classify.learned.text_model import load_model
from airouter.classify.tiers.cache import CacheTier
from airouter.classify.tiers.decision_model import DecisionModelTier
from airouter.classify.tiers.encoder import EncoderTier
from airouter.classify.tiers.learned import LearnedTier
from airouter.classify.tiers.one_token import OneTokenTier
from airouter.classify.tiers.reasoning import ReasoningTier
from airouter.classify.tiers.rules import RulesTier
from airouter.classify.tiers.spread import OneServersTier, SpreadTier
from airouter.classify.tiers.tuned import TunedTier
from airouter.classify.tuned.head import digest_of_base
from airouter.classify.tuned.registry import Registry
from airouter.domain.clock import Clock
from airouter.domain.errors import ConfigError
from airouter.domain.labels import CACHE_SECONDS
from airouter.settings.schema import CascadeSettings, Settings
from airouter.telemetry.logs import Log
from airouter.upstream.backend import Backend

Tier = InstantTier | CallingTier


@dataclass(frozen=True, slots=True)
class Parts:
    """What tiers are built from."""

    settings: CascadeSettings
    backends: Mapping[str, Backend]
    prompts: Mapping[str, str]
    log: Log
    clock: Clock

    def named(self, name: str) -> list[Backend]:
        """The backend of a name: its replicas where it has several; none if it is not used."""
        return [backend for own, backend in self.backends.items() if name in (own, backend.group)]


def _rules(_parts: Parts) -> Tier | None:
    return RulesTier()


def _cache(parts: Parts) -> Tier | None:
    spec = parts.settings.cache
    ttl = {label: spec.enrich_s if label == "ENRICH" else spec.local_s for label in CACHE_SECONDS}
    return CacheTier(parts.clock, spec.size, ttl)


def _learned(parts: Parts) -> Tier | None:
    return LearnedTier(load_model(parts.settings.learned.model), parts.clock)


def _tuned(parts: Parts) -> Tier | None:
    spec, path = parts.settings.tuned, parts.settings.learned.model
    if not spec.enabled:
        return None
    base = load_model(path)
    return TunedTier(Registry(spec.dir), base, digest_of_base(path), parts.clock, parts.log)


def _encoder(parts: Parts) -> Tier | None:
    spec = parts.settings.encoder
    if not is_installed():
        parts.log.info(
            "The encoder tier is skipped: %s is not installed (requirements-encoder.txt)", PACKAGE
        )
        return None
    return EncoderTier(load_head(spec.model), spec, parts.clock, parts.log)


def _decision_model(parts: Parts) -> Tier | None:
    spec = parts.settings.decision_model
    return _for_each(
        parts.named(spec.backend),
        lambda backend: DecisionModelTier(
            backend, spec, parts.prompts[spec.prompt], parts.clock, parts.log
        ),
    )


def _one_token(parts: Parts) -> Tier | None:
    spec = parts.settings.one_token
    return _for_each(
        parts.named(spec.backend),
        lambda backend: OneTokenTier(
            backend, spec, parts.prompts[spec.prompt], parts.clock, parts.log
        ),
    )


def _for_each(replicas: list[Backend], build: Callable[[Backend], OneServersTier]) -> Tier | None:
    tiers = [(backend, build(backend)) for backend in replicas]
    return SpreadTier(tiers) if len(tiers) > 1 else tiers[0][1] if tiers else None


def _reasoning(parts: Parts) -> Tier | None:
    spec = parts.settings.reasoning
    replicas = parts.named(spec.backend)
    if not replicas:
        parts.log.warning(
            "No classifier: backend %s is not configured (ROUTER_URL); requests that no other tier "
            "decides go to the primary",
            spec.backend,
        )
        return None
    prompt = parts.prompts[spec.prompt]
    return _for_each(replicas, lambda b: ReasoningTier(b, spec, prompt, parts.clock))


BUILDERS: Mapping[str, Callable[[Parts], Tier | None]] = {
    "rules": _rules,
    "cache": _cache,
    "learned": _learned,
    "tuned": _tuned,
    "encoder": _encoder,
    "decision_model": _decision_model,
    "one_token": _one_token,
    "reasoning": _reasoning,
}


def build_tiers(
    settings: CascadeSettings,
    backends: Mapping[str, Backend],
    prompts: Mapping[str, str],
    log: Log,
    clock: Clock,
) -> list[Tier]:
    """The tiers in the configured order, without those whose backend or package does not exist.

    Raises:
        ConfigError: the configuration names an unknown tier, or the learned model or the encoder's
            head is unusable.
    """
    parts = Parts(settings, backends, prompts, log, clock)
    tiers = []
    for name in settings.tiers:
        if name not in BUILDERS:
            raise ConfigError(
                f"cascade.tiers (or CASCADE_TIERS): there is no tier {name!r}; "
                f"the tiers are {', '.join(BUILDERS)}."
            )
        tier = BUILDERS[name](parts)
        if tier is not None:
            tiers.append(tier)
    return tiers


def prompt_names(settings: Settings) -> set[str]:
    """The names of the prompts that the configuration needs, as in `classifier/system`."""
    cascade = settings.cascade
    names = {"enrich/context", "enrich/query"}
    names |= {
        spec.prompt
        for name, spec in (
            ("reasoning", cascade.reasoning),
            ("one_token", cascade.one_token),
            ("decision_model", cascade.decision_model),
        )
        if name in cascade.tiers
    }
    return names | {spec.system_prompt for spec in settings.backends.values() if spec.system_prompt}
