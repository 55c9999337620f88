import base64
import copy
import hashlib
import json
import os

import pytest
from records import record, step

from airouter.domain.types import Verdict
from airouter.telemetry.session_document import CHUNK, document


def read(data):
    return json.loads(data)


def test_texts_are_cut():
    session = read(
        document(record(user_query="q" * 900, steps=(step(response_content="r" * 3000),)))
    )
    assert len(session["user_query"]) == 500
    assert len(session["steps"][0]["response_content"]) == 2000


def test_client_messages_are_referred_to_and_others_are_written():
    base = record()
    system, user = base.client_messages
    sent = [{"role": "system", "content": "router's own"}, user, dict(system)]
    session = read(
        document(record(client_messages=base.client_messages, steps=(step(messages_sent=sent),)))
    )
    assert session["steps"][0]["messages_sent"] == [sent[0], {"client_message": 1}, system]


def test_messages_are_written_verbatim_whatever_they_contain():
    texts = [
        '{"client_message": 0}',
        "[removed]",
        "@@0@@",
        "data:image/png;base64,AAAA",
        '"\\\n\x00',
        "__FRAGMENT_0__",
    ]
    messages = [{"role": "user", "content": text} for text in texts]
    messages += [{"role": "user", "content": [{"type": "text", "text": text} for text in texts]}]
    messages += [
        {
            "role": "user",
            "content": [{"type": "document", "source": {"type": "text", "data": "plain"}}],
        }
    ]
    assert read(document(record(client_messages=messages)))["client_messages"] == messages


@pytest.mark.parametrize("size", [0, 1, 5, CHUNK, 2 * CHUNK + 7])
def test_images_become_a_hash_and_the_record_is_untouched(size):
    data = os.urandom(size)
    encoded = base64.b64encode(data).decode()
    url = f"data:image/png;base64,{encoded}"
    text = {"type": "text", "text": "look"}
    content = [
        text,
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
        {"type": "input_image", "image_url": url},
        {"type": "input_audio", "input_audio": {"data": encoded, "format": "wav"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": encoded}},
        {
            "type": "file",
            "file": {"file_data": f"data:application/pdf;base64,{encoded}", "filename": "a.pdf"},
        },
        {
            "type": "tool_result",
            "content": [{"type": "image", "source": {"type": "base64", "data": encoded}}],
        },
        {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}},
    ]
    messages = [{"role": "user", "content": content}]
    before = copy.deepcopy(messages)
    written = document(
        record(client_messages=messages, steps=(step(messages_sent=[copy.deepcopy(messages[0])]),))
    )
    assert messages == before
    if size > 5:
        assert encoded[:40].encode() not in written
    session = read(written)
    for parts in (
        session["client_messages"][0]["content"],
        session["steps"][0]["messages_sent"][0]["content"],
    ):
        what = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": size}
        assert parts[0] == text
        assert parts[1]["image_url"] == {"url": what | {"media_type": "image/png"}, "detail": "low"}
        assert parts[2]["image_url"] == what | {"media_type": "image/png"}
        assert parts[3]["input_audio"]["data"] == what | {"media_type": "wav"}
        assert parts[4]["source"]["data"] == what | {"media_type": "image/gif"}
        assert parts[5]["file"]["file_data"] == what | {"media_type": "application/pdf"}
        assert parts[6]["content"][0]["source"]["data"] == what | {"media_type": ""}
        assert parts[7] == content[7]


def test_data_that_is_not_base64_is_hashed_as_text():
    def describe(url):
        part = {"type": "image_url", "image_url": {"url": url}}
        session = read(document(record(client_messages=[{"role": "user", "content": [part]}])))
        return session["client_messages"][0]["content"][0]["image_url"]["url"]

    svg = "%3Csvg%3E"
    assert (
        describe(f"data:image/svg+xml,{svg}")["sha256"] == hashlib.sha256(svg.encode()).hexdigest()
    )
    assert describe("data:image/png;base64,üüüü")["bytes"] == 8
    assert describe("data:nothing")["media_type"] == ""


def test_no_credential_is_ever_written():
    params = {
        "Authorization": "Bearer HUSH1",
        "api_key": "HUSH2",
        "apiKey": "HUSH3",
        "headers": {"X-API-Key": "HUSH4", "Accept": "json", "authorization": ["HUSH5"]},
        "nested": [{"access_token": "HUSH6", "password": {"value": "HUSH7"}}],
        "client-secret": "HUSH8",
        "server_url": "https://me:HUSH9@host/path?key=HUSH10",
        "max_tokens": 5,
        "tools": [
            {
                "function": {
                    "parameters": {"properties": {"token": {"type": "string"}, "secret": "HUSH11"}}
                }
            }
        ],
    }
    faulty = step(
        url="https://user:HUSH12@api.example.org:8443/v1/chat?api_key=HUSH13#HUSH14",
        params=params,
        error="401 for https://u:HUSH15@h/x?api_key=HUSH16 with Bearer HUSH17 and sk-HUSH18abcdef",
    )
    for content in ("full", "off"):
        written = document(
            record(steps=(faulty,), error="bad key xai-HUSH19abcdefgh or air_HUSH20abcdefghij"),
            content,
        )
        assert b"HUSH" not in written
        assert read(written)["steps"][0]["url"] == "https://api.example.org:8443/v1/chat"
    kept = read(document(record(steps=(faulty,))))["steps"][0]["params"]
    assert kept["max_tokens"] == 5
    assert kept["headers"]["Accept"] == "json"
    assert kept["server_url"] == "https://host/path"
    assert kept["tools"][0]["function"]["parameters"]["properties"]["token"] == {"type": "string"}
    assert params["api_key"] == "HUSH2"


def test_content_off_writes_no_text_of_the_conversation():
    words = "PRIVATE words"
    private = record(
        user_query=words,
        client_messages=[{"role": "user", "content": words}],
        classification_raw=words,
        verdicts=(Verdict(tier="model", label="SIMPLE", raw=words),),
        steps=(
            step(
                messages_sent=[{"content": words}],
                response_content=words,
                params={"input": words, "n": 1},
            ),
        ),
    )
    written = document(private, "off")
    assert b"PRIVATE" not in written
    session = read(written)
    assert (
        session["user_query"]
        == session["classification_raw"]
        == session["steps"][0]["response_content"]
        == ""
    )
    assert session["client_messages"] == session["steps"][0]["messages_sent"] == []
    assert session["steps"][0]["params"] == {"n": 1}
    assert session["route"] == "primary"


def test_nothing_unserialisable_loses_the_session():
    class Rude:
        def __str__(self):
            raise RuntimeError

    deep = []
    for _ in range(5_000):
        deep = [deep]
    nested = {"type": "tool_result", "content": "end"}
    for _ in range(3_000):
        nested = {"type": "tool_result", "content": [nested]}
    messages = [
        {"role": "user", "content": "lone \ud800 surrogate"},
        {"role": "user", "content": 2**70},
        {"role": "user", "content": {1: "one", (2, 3): "pair"}},
        {"role": "user", "content": {"a set"}},
        {"role": "user", "content": Rude()},
        {"role": "user", "content": deep},
        {"role": "user", "content": [nested]},
        {"role": "user", "content": "fine"},
    ]
    session = read(document(record(client_messages=messages, user_query="\udfff", error="\ud800")))
    written = session["client_messages"]
    assert written[0]["content"] == "lone \ud800 surrogate"
    assert written[1]["content"] == 2**70
    assert written[2]["content"]["1"] == "one"
    assert written[3]["content"] == "{'a set'}"
    assert written[4] == written[5] == written[6] == {"unserialisable": "dict"}
    assert written[7] == messages[7]
    assert session["user_query"] == "\udfff"
