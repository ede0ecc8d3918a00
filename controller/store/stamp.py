"""Moments as whole microseconds since 1970, the form in which every table keeps them."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(when: datetime) -> int:
    """Microseconds since 1970 UTC, exact; raises TypeError for a naive datetime."""
    return (when - _EPOCH) // _MICROSECOND


def span_micros(span: timedelta) -> int:
    """Convert a duration to whole microseconds, exactly."""
    return span // _MICROSECOND


def moment(micros_: int) -> datetime:
    """Return the aware UTC datetime of so many microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=micros_)
