import json
import os
import random
import string

import pytest

from mcptap import REDACTED, BadRule, Redactor
from mcptap.semconv import TABLES

REDACTOR = Redactor()
DRAWN = "0123456789abcdefghijklmnopqrstuvABCDEFGHIJ"


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("key ghp_0123456789abcdefghijABCDEF end", "key [redacted] end"),
        ("Authorization: Bearer abcdef0123456789", "Authorization: [redacted]"),
        ("postgres://user:hunter2@db/shop", "postgres://user:[redacted]@db/shop"),
        ("password=hunter2 and more", "password=[redacted] and more"),
        ("?api_key=abc123def456&page=2", "?api_key=[redacted]&page=2"),
        ("run --password hunter2 now", "run --password [redacted] now"),
        ("AKIAIOSFODNN7QT5LX2K", "[redacted]"),
        ("curl -u ada:pass123 http://shop", "curl -u ada:[redacted] http://shop"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----", "[redacted]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N", "[redacted]"),
        ("https://hooks.slack.com/services/T0000/B0000/XXXX123xyz45678", "https://hooks.slack.com/services/[redacted]"),
    ],
)
def test_secrets_are_cut_out_of_texts(text: str, cut: str) -> None:
    assert REDACTOR.text(text) == cut
    assert REDACTOR.text(cut) == cut, "what is cut is not cut again"


@pytest.mark.parametrize(
    "text",
    [
        "the password: is not here", "password = os.environ['PASSWORD']", "total_tokens=500", "next_token=abc",
        '{"password":"string","token":"hello"}', "Bearer realm=\"shop\"", "http://user@host/", "sk-button-primary",
        "see https://example.com/a:b@c", "version: ^1.2.3", '{"password_policy":"at least 8"}', "public_key_id=abc",
        '{"newPassword":"New password","secret":"[Filtered]","api_key":"YOUR_API_KEY","client_secret":"my-client-secret"}',
        "postgres://user:password@localhost/db", "amqp://u:{password}@mq", "AKIAIOSFODNN7EXAMPLE", "ghp_xxxxxxxxxxxxxxxxxxxxxxxx",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert REDACTOR.json(text) == text


@pytest.mark.parametrize(
    ("given", "cut"),
    [
        ({"api_key": "x7"}, {"api_key": REDACTED}),
        ({"db": {"password": "hunter2", "n": 1}}, {"db": {"password": REDACTED, "n": 1}}),
        ({"password": 12345, "secret": True}, {"password": REDACTED, "secret": True}),
        ({"credentials": ["a1b2", "c3d4"]}, {"credentials": [REDACTED, REDACTED]}),
        ({"args": json.dumps({"password": "hunter2"})}, {"args": '{"password":"[redacted]"}'}),
        ({"env": [{"name": "API_KEY", "value": "x7"}]}, {"env": [{"name": "API_KEY", "value": REDACTED}]}),
        (["--token", "hunter2", "kept"], ["--token", REDACTED, "kept"]),
        ({"accessToken": "hunter2", "dbPasswordProd": "x"}, {"accessToken": REDACTED, "dbPasswordProd": REDACTED}),
        ({"Cookie": "a=b"}, {"Cookie": REDACTED}),
    ],
)
def test_secrets_are_cut_out_of_json(given: object, cut: object) -> None:
    assert json.loads(REDACTOR.json(json.dumps(given))) == cut


def test_every_prefix_of_the_table_is_known() -> None:
    shapes = TABLES["redaction"]["shapes"]
    alphabet = {"hex": "0123456789abcdef", "upper": string.ascii_uppercase + string.digits}
    for shape in shapes:
        drawn = "".join(random.Random(7).choices(alphabet.get(shape["class"], "a1B2c3D4e5"), k=shape["least"] - 2))
        rest = (drawn + {"hex": "a1", "upper": "A1"}.get(shape["class"], "x9"))[: shape["least"]]
        for prefix in shape["prefixes"]:
            text = REDACTOR.text(f"is {prefix}{rest} it")
            assert rest not in text, (shape["rule"], text)


def test_the_operators_rules() -> None:
    redactor = Redactor(keys=["ssn", "dob"], patterns=["ACME-[0-9]{2,6}"], values={"SONG": "sea shanty"})
    assert redactor.text("dob=1 ACME-123 sea shanty") == "dob=[redacted] [redacted] [redacted]"
    assert redactor.json('{"patient_ssn":12}') == '{"patient_ssn":"[redacted]"}'
    for form in ("sea%20shanty", "sea+shanty", "c2VhIHNoYW50e", "XNlYSBzaGFudH"):
        assert REDACTED in redactor.text(f"is {form} it"), form


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"patterns": ["ab(c"]}, "ACME-"), ({"patterns": ["a*"]}, "empty text"), ({"keys": ["--"]}, "ssn"),
        ({"values": {"PIN": "1234"}}, "at least 6"), ({"values": {"X": "redacted"}}, "part of"),
    ],
)
def test_rules_that_cannot_be_kept(rules: dict, said: str) -> None:
    with pytest.raises(BadRule, match=said):
        Redactor(**rules)


def test_json_stays_json_and_keeps_the_rest() -> None:
    chosen = random.Random(int(os.environ.get("SEED", "1")))
    pieces = ['"', "\\", "password=", "hunter2", "{", "}", ":", "é", "ghp_" + DRAWN, "\n", "Bearer ", "token", " "]
    for _ in range(500):
        value = {"".join(chosen.choices(pieces, k=3)): ["".join(chosen.choices(pieces, k=6)), 1, None]}
        text = json.dumps(value, ensure_ascii=False)
        redacted = REDACTOR.json(text)
        assert "ghp_" + DRAWN not in redacted
        (items,) = json.loads(redacted).values()
        assert items[1:] == [1, None] or REDACTED in items


def test_deep_and_long_texts_end() -> None:
    assert len(REDACTOR.json("[" * 100_000)) == 100_000
    deep = "1"
    for _ in range(500):
        deep = f"[{deep}]"
    assert REDACTED in REDACTOR.json(f'{{"a":{deep},"password":"x1y2"}}')
    assert REDACTOR.text("password=" * 20_000)
