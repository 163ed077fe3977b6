from importlib import resources

import pytest

from mcptap import Capture, CaptureError


def test_everything_is_captured_unless_said_otherwise() -> None:
    for capture in (Capture(), Capture.from_env({}), Capture.from_env({"MCPTAP_CAPTURE": " Full "})):
        assert (capture.mode, capture.body_cap) == ("full", 1 << 20)
        assert capture.records and capture.bodies_of(None) and capture.bodies_of("any")


def test_metadata_has_no_bodies_and_off_has_nothing() -> None:
    metadata, off = (Capture.from_env({"MCPTAP_CAPTURE": mode}) for mode in ("metadata", "off"))
    assert metadata.records and not metadata.bodies_of(None)
    assert not off.records and not off.bodies_of("any")


def test_deny_wins_over_allow() -> None:
    capture = Capture.from_env({"MCPTAP_CAPTURE_TOOLS": "get_*, list,", "MCPTAP_CAPTURE_DENY_TOOLS": "get_secret*"})
    kept = [tool for tool in ("get_order", "get_", "list", "listing", "get_secret", "put") if capture.bodies_of(tool)]
    assert kept == ["get_order", "get_", "list"]
    assert capture.bodies_of(None), "what is about no tool is not concerned"


@pytest.mark.parametrize(("text", "size"), [("7", 7), ("2KiB", 2048), ("1MiB", 1 << 20), ("3 kb", 3072)])
def test_sizes(text: str, size: int) -> None:
    assert Capture.from_env({"MCPTAP_BODY_CAP": text}).body_cap == size


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MCPTAP_CAPTURE", "ful"), ("MCPTAP_CAPTURE_TOOLS", "a*b"), ("MCPTAP_BODY_CAP", "many"),
        ("MCPTAP_REDACT_PATTERNS", "("), ("MCPTAP_REDACT_KEYS", "-"),
    ],
)
def test_mistakes_name_the_variable(name: str, value: str) -> None:
    with pytest.raises(CaptureError, match=name):
        Capture.from_env({name: value})


def test_the_package_says_that_it_has_types() -> None:
    assert resources.files("mcptap").joinpath("py.typed").is_file()
