"""The table of labels, and what is derived from it."""

from airouter.domain import labels


def test_the_routes_and_classes_are_the_documented_ones():
    """Their order matters: for lists in responses, and for the model's outputs."""
    assert labels.ROUTES == ("primary", "xai", "enrich", "meta")
    assert labels.CLASSES == ("PRIMARY", "COMPLEX", "ENRICH", "META")
    assert labels.CLASSIFIER_LABELS == ("SIMPLE", "MODERATE", "COMPLEX", "ENRICH")


def test_a_forced_route_has_a_label_of_that_route():
    """The primary's is the default label, not the first of the three that share the route."""
    assert labels.LABEL_OF_ROUTE == {
        "primary": "MODERATE",
        "xai": "COMPLEX",
        "enrich": "ENRICH",
        "meta": "META",
    }
    assert all(labels.ROUTE_OF_LABEL[name] == r for r, name in labels.LABEL_OF_ROUTE.items())


def test_an_error_never_sends_a_prompt_to_the_cloud():
    """ADR 0004: the default label belongs to the primary route."""
    assert labels.ROUTE_OF_LABEL[labels.DEFAULT_LABEL] == "primary"


def test_what_changes_is_cached_briefly_and_meta_not_at_all():
    assert labels.CACHE_SECONDS["ENRICH"] == 600
    assert labels.CACHE_SECONDS["COMPLEX"] == 86_400
    assert "META" not in labels.CACHE_SECONDS
