from __future__ import annotations

import pytest

from vegehub import (
    Outcome,
    VegeHubConnectionError,
    VegeHubError,
    VegeHubMismatchError,
    VegeHubNoActuatorsError,
    VegeHubPayloadError,
    VegeHubResponseError,
    VegeHubSessionError,
    VegeHubTimeoutError,
    VegeHubValueError,
)
from vegehub.cli.errors import CommandError, InterruptedByUserError, error_document, error_line, exit_code


@pytest.mark.parametrize(
    ("err", "code"),
    [
        (VegeHubValueError("x"), 2),
        (VegeHubSessionError("x"), 2),
        (VegeHubTimeoutError("x"), 4),
        (VegeHubConnectionError("x"), 3),
        (VegeHubResponseError("x"), 1),
        (VegeHubPayloadError("x"), 1),
        (VegeHubNoActuatorsError("x"), 1),
        (VegeHubMismatchError("x"), 1),
        (VegeHubError("x"), 1),
        (CommandError("x"), 1),
        (CommandError("x", 3), 3),
        (InterruptedByUserError(2), 130),
        (OSError("x"), 1),
    ],
)
def test_exit_code_tells_the_failure(err: Exception, code: int) -> None:
    assert exit_code(err) == code
    assert error_document(err)["error"]["exit_code"] == code


@pytest.mark.parametrize("outcome", Outcome)
def test_line_leaves_it_to_the_error_to_say_what_became_of_the_command(outcome: Outcome) -> None:
    """Only the library knows whether a call that failed was a command at all."""
    said = VegeHubConnectionError("192.0.2.1: the connection was refused; is it on?", host="192.0.2.1", outcome=outcome)
    assert error_line(said) == "192.0.2.1: the connection was refused; is it on?"


def test_line_says_what_to_do() -> None:
    assert "doctor 192.0.2.1" in error_line(VegeHubResponseError("192.0.2.1: 500", host="192.0.2.1"))
    assert "button" in error_line(VegeHubTimeoutError("192.0.2.1: silence", host="192.0.2.1"))


def test_line_is_one_line_whatever_the_hub_said() -> None:
    line = error_line(VegeHubError("a\nb\x1b[31mc\u202ed"))
    assert line == "a bcd"


def test_line_has_the_notes_of_the_error() -> None:
    err = InterruptedByUserError(2)
    err.add_note("the actuator may still be on")
    assert error_line(err) == "interrupted; the actuator may still be on"


def test_file_is_named_without_a_number() -> None:
    assert error_line(FileNotFoundError(2, "No such file", "x.json")) == "x.json: No such file"


def test_document_has_what_a_program_needs() -> None:
    err = VegeHubResponseError("192.0.2.1: 503", host="192.0.2.1", outcome=Outcome.REJECTED, status=503)
    document = error_document(err)["error"]
    assert (document["type"], document["host"], document["outcome"], document["status"]) == (
        "VegeHubResponseError",
        "192.0.2.1",
        "rejected",
        503,
    )
