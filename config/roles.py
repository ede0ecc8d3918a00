"""What a point is for, with the Brick class and the Project Haystack tags of each role."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """The purpose of a point; the controller finds points by role, never by name."""

    ZONE_TEMPERATURE = "zone_temperature"
    HEATING_SETPOINT = "heating_setpoint"
    VALVE_POSITION = "valve_position"
    CO2 = "co2"
    OCCUPANCY = "occupancy"
    LIGHT_LEVEL = "light_level"
    LIGHTING_POWER = "lighting_power"
    FAN_SPEED = "fan_speed"
    OUTDOOR_TEMPERATURE = "outdoor_temperature"
    SOLAR_IRRADIANCE = "solar_irradiance"
    FLOW_TEMPERATURE = "flow_temperature"
    FLOW_SETPOINT = "flow_setpoint"
    TANK_TEMPERATURE = "tank_temperature"
    TANK_SETPOINT = "tank_setpoint"
    ENABLE = "enable"
    RUNNING = "running"
    FAULT = "fault"
    CAPACITY_LIMIT = "capacity_limit"
    HEAT_OUTPUT = "heat_output"
    ELECTRICITY_METER = "electricity_meter"
    ELECTRICITY_POWER = "electricity_power"
    GAS_METER = "gas_meter"
    HEAT_METER = "heat_meter"
    PV_METER = "pv_meter"
    PV_POWER = "pv_power"
    DEMAND_LIMIT = "demand_limit"
    HEARTBEAT = "heartbeat"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Tags:
    """How other ontologies call a role: a Brick 1.4 class and Haystack 4 tags."""

    brick: str
    haystack: str


TAGS: dict[Role, Tags] = {
    Role.ZONE_TEMPERATURE: Tags("Zone_Air_Temperature_Sensor", "zone air temp sensor"),
    Role.HEATING_SETPOINT: Tags("Zone_Air_Heating_Temperature_Setpoint", "zone air temp heating sp"),
    Role.VALVE_POSITION: Tags("Heating_Valve", "heating valve cmd sensor"),
    Role.CO2: Tags("Zone_CO2_Level_Sensor", "zone air co2 concentration sensor"),
    Role.OCCUPANCY: Tags("Occupancy_Count_Sensor", "zone occupied sensor"),
    Role.LIGHT_LEVEL: Tags("Lighting_Level_Setpoint", "lights level cmd"),
    Role.LIGHTING_POWER: Tags("Electric_Power_Sensor", "lights elec power sensor"),
    Role.FAN_SPEED: Tags("Fan_Speed_Command", "discharge fan speed cmd"),
    Role.OUTDOOR_TEMPERATURE: Tags("Outside_Air_Temperature_Sensor", "outside air temp sensor"),
    Role.SOLAR_IRRADIANCE: Tags("Solar_Radiance_Sensor", "solar irradiance sensor"),
    Role.FLOW_TEMPERATURE: Tags("Leaving_Hot_Water_Temperature_Sensor", "hot water leaving temp sensor"),
    Role.FLOW_SETPOINT: Tags("Leaving_Hot_Water_Temperature_Setpoint", "hot water leaving temp sp"),
    Role.TANK_TEMPERATURE: Tags("Hot_Water_Temperature_Sensor", "hot water tank temp sensor"),
    Role.TANK_SETPOINT: Tags("Hot_Water_Temperature_Setpoint", "hot water tank temp sp"),
    Role.ENABLE: Tags("Enable_Command", "enable cmd"),
    Role.RUNNING: Tags("On_Off_Status", "run sensor"),
    Role.FAULT: Tags("Fault_Status", "fault sensor"),
    Role.CAPACITY_LIMIT: Tags("Load_Setpoint", "capacity limit sp"),
    Role.HEAT_OUTPUT: Tags("Thermal_Power_Sensor", "thermal power sensor"),
    Role.ELECTRICITY_METER: Tags("Electrical_Energy_Usage_Sensor", "elec meter energy sensor"),
    Role.ELECTRICITY_POWER: Tags("Electric_Power_Sensor", "elec meter power sensor"),
    Role.GAS_METER: Tags("Gas_Meter", "naturalGas meter energy sensor"),
    Role.HEAT_METER: Tags("Thermal_Power_Meter", "hot water meter energy sensor"),
    Role.PV_METER: Tags("Electrical_Energy_Usage_Sensor", "elec meter export energy sensor"),
    Role.PV_POWER: Tags("Electric_Power_Sensor", "pv elec power sensor"),
    Role.DEMAND_LIMIT: Tags("Demand_Setpoint", "elec demand limit sp"),
    Role.HEARTBEAT: Tags("Communication_Loss_Alarm", "heartbeat cmd"),
    Role.OTHER: Tags("Point", "point"),
}
