"""A reading that knows its sensor says what was measured, and in which unit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vegehub import PiecewiseCurve, Reading, Sample, sensor_curve

READING = Reading(1, (Sample(0.5), Sample(1.5)))


def test_a_reading_with_a_sensor_has_the_quantity_of_its_newest_sample() -> None:
    reading = replace(READING, name="Tomatoes", sensor=sensor_curve("VH400"))
    assert reading.quantity == pytest.approx(24.615, abs=1e-3)
    assert (reading.name, reading.unit) == ("Tomatoes", "%")


def test_a_reading_of_a_slot_that_nobody_described_has_none() -> None:
    assert (READING.name, READING.sensor, READING.quantity, READING.unit) == ("", None, None, "")


def test_a_reading_without_samples_has_a_unit_and_no_quantity() -> None:
    reading = Reading(1, sensor=sensor_curve("THERM200"))
    assert (reading.quantity, reading.unit) == (None, "°C")


def test_volts_of_which_no_number_is_left_give_no_quantity_and_no_error() -> None:
    assert Reading(1, (Sample(1.7e308),), sensor=sensor_curve("THERM200")).quantity is None


def test_names_and_sensors_are_no_part_of_what_was_measured() -> None:
    curve = PiecewiseCurve.from_points([(0, 0), (3, 120)])
    named = Reading(1, READING.samples, name="Tomatoes", sensor=curve)
    assert named == READING
    assert hash(named) == hash(READING)
    assert repr(named) == repr(READING)
