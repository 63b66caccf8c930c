"""A run in words, as JSON and as JUnit XML."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from .harness import Report, Status, StepResult

if TYPE_CHECKING:
    from collections.abc import Iterator

_TITLE_WIDTH = 28
_STATUS_WIDTH = 16


def step_line(result: StepResult, steps: int) -> str:
    """Write one line for a step: its number, title, status and detail."""
    number = f"[{result.number:{len(str(steps))}}/{steps}]"
    title = f"{result.title + ' ':.<{_TITLE_WIDTH}}"
    return f"{number} {title} {result.status.value:{_STATUS_WIDTH}}{result.detail}".rstrip()


def summary(report: Report) -> Iterator[str]:
    """Write the lines that follow the steps: each leak, then one line with everything."""
    for leak in report.leaks:
        yield f"leak: {leak}"
    counts = [f"{report.count(Status.OK)} passed", f"{report.count(Status.FAILED)} failed"]
    counts += [f"{count} {status.value}" for status in list(Status)[2:] if (count := report.count(status))]
    leaks = f"{len(report.leaks)} leak{'s' if len(report.leaks) > 1 else ''}" if report.leaks else "no leak"
    yield f"{len(report.results)} steps: {', '.join(counts)}; {leaks}; {report.seconds:.1f} s"


def as_json(report: Report) -> str:
    """Write the report as a JSON document."""
    document = {
        "target": report.target,
        "hub": report.hub,
        "steps": [
            {
                "number": result.number,
                "title": result.title,
                "status": result.status.value,
                "detail": result.detail,
                "seconds": round(result.seconds, 3),
            }
            for result in report.results
        ],
        "leaks": [{"channel": leak.channel, "kind": leak.kind, "detail": leak.detail} for leak in report.leaks],
        "reached": report.reached,
        "interrupted": report.interrupted,
        "seconds": round(report.seconds, 3),
        "exit_code": report.exit_code,
    }
    return json.dumps(document, indent=2)


def as_junit(report: Report) -> str:
    """Write the report as JUnit XML, the leak guard as one more test case."""
    suite = ET.Element("testsuite", name=f"vegehub integration: {report.target}", time=f"{report.seconds:.3f}")
    for result in report.results:
        case = _case(suite, f"{result.number}. {result.title}", result.seconds)
        if result.status is Status.FAILED:
            ET.SubElement(case, "failure", message=_clean(result.detail))
        elif result.status is not Status.OK:
            ET.SubElement(case, "skipped", message=_clean(f"{result.status.value}: {result.detail}"))
    guard = _case(suite, "Leak guard", 0.0)
    if report.leaks:
        message = f"{len(report.leaks)} leaks"
        ET.SubElement(guard, "failure", message=message).text = _clean("\n".join(map(str, report.leaks)))
    suite.set("tests", str(len(report.results) + 1))
    suite.set("failures", str(report.count(Status.FAILED) + bool(report.leaks)))
    suite.set("errors", "0")
    suite.set("skipped", str(report.count(Status.NOT_APPLICABLE) + report.count(Status.NOT_RUN)))
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ET.Element, title: str, seconds: float) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname="vegehub", name=title, time=f"{seconds:.3f}")


def _clean(text: str) -> str:
    """Leave out what XML 1.0 cannot hold: a hub may have put control characters into an error text."""
    return "".join(character for character in text if character in "\n\t" or character >= " ")
