"""Settings of OpenAI's Responses API."""

from pydantic import Field

from airouter.settings.section import Count, Section


class ResponsesSettings(Section):
    """The Responses API (`/v1/responses`)."""

    max_stored: Count = Field(
        0,
        description="Number of responses that are kept, with their input, for "
        "`previous_response_id` and `GET /v1/responses/{id}`; the oldest are removed first. They "
        "are on disk, in a directory that is removed when the router stops. 0: none is kept.",
    )
