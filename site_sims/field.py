"""The field of a simulated building: what hangs on its BACnet and MQTT wires, with priority arrays.

The plant writes sensors and reads commands here; the BACnet and MQTT servers and the simulated drivers serve the
same objects, so a test may put either in front of one building.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

SLOTS = 16


class NotWritable(Exception):  # noqa: N818  answered on the wire as write-access-denied
    """A sensor was written to."""


class OutOfRange(Exception):  # noqa: N818  answered on the wire as value-out-of-range
    """The device refuses this value."""


@dataclass(slots=True, kw_only=True, eq=False)
class FieldObject:
    """One object on a device. A commandable one has a priority array and a relinquish default."""

    key: str  # the plant's name for it, `part.name`
    address: str  # BACnet object such as `analog-value,3`, or the MQTT topic
    unit: str = "degC"
    commandable: bool = False
    default: float = 0.0  # relinquish default, and a sensor's value before the first step
    low: float | None = None  # the device refuses writes outside
    high: float | None = None
    fault: bool = False
    reliability: int = 7  # BACnetReliability while in fault: 7 is unreliable-other, 4 open loop
    array: list[float | None] = field(default_factory=lambda: [None] * SLOTS)
    sensed: float = 0.0
    writes: list[int] = field(default_factory=lambda: [0] * SLOTS)  # accepted writes and relinquishes, by slot
    watchers: list[Callable[["FieldObject"], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sensed = self.default

    @property
    def value(self) -> float:
        """The present value: the strongest slot, else the relinquish default; a sensor's measured value."""
        if not self.commandable:
            return self.sensed
        for value in self.array:
            if value is not None:
                return value
        return self.default

    @property
    def holder(self) -> int | None:
        """The strongest occupied slot, 1 to 16."""
        return next((n for n, v in enumerate(self.array, 1) if v is not None), None)

    def sense(self, value: float) -> None:
        """The plant measures a new value."""
        if value != self.sensed:
            self.sensed = value
            self._tell()

    def write(self, value: float | None, priority: int = SLOTS) -> None:
        """A command from anybody; None relinquishes. Raises NotWritable, OutOfRange."""
        if not self.commandable:
            raise NotWritable(self.key)
        if value is not None and not (
            (self.low is None or value >= self.low) and (self.high is None or value <= self.high)
        ):
            raise OutOfRange(f"{self.key}: {value} is outside {self.low}..{self.high}")
        before = self.value
        self.array[priority - 1] = value
        self.writes[priority - 1] += 1
        if self.value != before:
            self._tell()

    def restore(self, array: list[float | None], sensed: float) -> None:
        """Return to a checkpoint; watchers hear of it if the value changed."""
        before = self.value
        self.array[:], self.sensed = array, sensed
        if self.value != before:
            self._tell()

    def _tell(self) -> None:
        for watcher in self.watchers:
            watcher(self)


@dataclass(slots=True, kw_only=True, eq=False)
class FieldDevice:
    """One box on the wall: a BACnet device with its own UDP port, or a family of MQTT topics."""

    id: str
    protocol: str  # bacnet | mqtt
    instance: int = 0  # BACnet device instance
    port: int = 0  # UDP port on loopback; 0 = any
    objects: dict[str, FieldObject] = field(default_factory=dict)  # by key
    reachable: bool = True  # False = unplugged


class Field:
    """All devices of one simulated building."""

    def __init__(self, devices: list[FieldDevice]) -> None:
        self.devices = {device.id: device for device in devices}
        self._by_key = {key: obj for device in devices for key, obj in device.objects.items()}

    def __getitem__(self, key: str) -> FieldObject:
        return self._by_key[key]

    def __contains__(self, key: str) -> bool:
        return key in self._by_key

    def __iter__(self) -> Iterator[FieldObject]:
        return iter(self._by_key.values())

    def of(self, protocol: str) -> list[FieldDevice]:
        return [device for device in self.devices.values() if device.protocol == protocol]
