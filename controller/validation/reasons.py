"""Why a reading is not good, in words for people."""

from drivers.base import Flags

_WORDS = {  # the gravest first
    Flags.OUT_OF_RANGE: "outside its range",
    Flags.SPIKE: "a sudden step",
    Flags.STUCK: "it has stuck",
    Flags.BACKWARDS: "the register runs backwards",
    Flags.ROLLED_OVER: "the register rolled over",
    Flags.RESET: "the register begins again at nought",
    Flags.REPLACED: "the meter was exchanged",
    Flags.UNIT_JUMP: "it seems to come in another unit",
    Flags.NO_SENSOR: "the sensor is missing, open or shorted",
    Flags.FAULT: "the device reports a fault",
    Flags.OVERRIDDEN: "overridden at the device",
    Flags.OUT_OF_SERVICE: "out of service",
    Flags.SUBSTITUTED: "estimated by its source",
    Flags.FUTURE_TIME: "the device's clock is ahead",
    Flags.LATE: "it came late",
    Flags.OUT_OF_ORDER: "it came after a newer one",
    Flags.SAME_TIME: "two values of one time",
    Flags.NOT_A_NUMBER: "not a number",
    Flags.NO_ANSWER: "no answer",
    Flags.UNKNOWN_POINT: "the device does not know it",
}


def reasons(flags: Flags) -> str:
    """Why a reading is not good, for people; empty if nothing is strange."""
    return ", ".join(text for flag, text in _WORDS.items() if flag in flags)
