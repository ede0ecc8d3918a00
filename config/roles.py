"""What a point is for, with the Brick class and the Project Haystack tags of each role."""

from dataclasses import dataclass
from enum import StrEnum

from config.units import Unit


class Role(StrEnum):
    """The purpose of a point; the controller finds points by role, never by name."""

    ZONE_TEMPERATURE = "zone_temperature"
    HEATING_SETPOINT = "heating_setpoint"
    COOLING_SETPOINT = "cooling_setpoint"
    VALVE_POSITION = "valve_position"
    CO2 = "co2"
    OCCUPANCY = "occupancy"
    LIGHT_LEVEL = "light_level"
    LIGHTING_POWER = "lighting_power"
    FAN_SPEED = "fan_speed"
    AIRFLOW = "airflow"
    DAMPER_POSITION = "damper_position"
    OUTDOOR_DAMPER = "outdoor_damper"  # share of outdoor air in what is supplied
    SUPPLY_TEMPERATURE = "supply_temperature"
    SUPPLY_SETPOINT = "supply_temperature_setpoint"
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
    CARBON_INTENSITY = "carbon_intensity"
    ELECTRICITY_PRICE = "electricity_price"
    TEMPERATURE_FORECAST = "temperature_forecast"  # outdoors, said by others: never taken for a measurement
    SOLAR_FORECAST = "solar_forecast"
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
    Role.COOLING_SETPOINT: Tags("Zone_Air_Cooling_Temperature_Setpoint", "zone air temp cooling sp"),
    Role.VALVE_POSITION: Tags("Heating_Valve", "heating valve cmd sensor"),
    Role.CO2: Tags("Zone_CO2_Level_Sensor", "zone air co2 concentration sensor"),
    Role.OCCUPANCY: Tags("Occupancy_Count_Sensor", "zone occupied sensor"),
    Role.LIGHT_LEVEL: Tags("Lighting_Level_Setpoint", "lights level cmd"),
    Role.LIGHTING_POWER: Tags("Electric_Power_Sensor", "lights elec power sensor"),
    Role.FAN_SPEED: Tags("Fan_Speed_Command", "discharge fan speed cmd"),
    Role.AIRFLOW: Tags("Supply_Air_Flow_Sensor", "discharge air flow sensor"),
    Role.DAMPER_POSITION: Tags("Damper_Position_Sensor", "discharge damper sensor"),
    Role.OUTDOOR_DAMPER: Tags("Damper_Position_Command", "outside damper cmd"),
    Role.SUPPLY_TEMPERATURE: Tags("Supply_Air_Temperature_Sensor", "discharge air temp sensor"),
    Role.SUPPLY_SETPOINT: Tags("Supply_Air_Temperature_Setpoint", "discharge air temp sp"),
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
    Role.CARBON_INTENSITY: Tags("Point", "grid elec ghg emission intensity point"),
    Role.ELECTRICITY_PRICE: Tags("Point", "grid elec import cost point"),
    Role.TEMPERATURE_FORECAST: Tags("Point", "weather air temp forecast point"),
    Role.SOLAR_FORECAST: Tags("Point", "weather solar irradiance forecast point"),
    Role.HEARTBEAT: Tags("Communication_Loss_Alarm", "heartbeat cmd"),
    Role.OTHER: Tags("Point", "point"),
}

_TEMPERATURE = (Unit.DEGC,)
_SHARE = (Unit.PERCENT,)
_ON_OFF = (Unit.BINARY,)
_POWER = (Unit.KW,)
_ENERGY = (Unit.KWH,)

UNITS: dict[Role, tuple[Unit, ...]] = {  # what a point of the role may be in; OTHER may be in anything
    Role.ZONE_TEMPERATURE: _TEMPERATURE,
    Role.HEATING_SETPOINT: _TEMPERATURE,
    Role.COOLING_SETPOINT: _TEMPERATURE,
    Role.VALVE_POSITION: _SHARE,
    Role.CO2: (Unit.PPM,),
    Role.OCCUPANCY: (Unit.PEOPLE, Unit.BINARY),
    Role.LIGHT_LEVEL: (Unit.PERCENT, Unit.BINARY),
    Role.LIGHTING_POWER: _POWER,
    Role.FAN_SPEED: _SHARE,
    Role.AIRFLOW: (Unit.M3_PER_S,),
    Role.DAMPER_POSITION: _SHARE,
    Role.OUTDOOR_DAMPER: _SHARE,
    Role.SUPPLY_TEMPERATURE: _TEMPERATURE,
    Role.SUPPLY_SETPOINT: _TEMPERATURE,
    Role.OUTDOOR_TEMPERATURE: _TEMPERATURE,
    Role.SOLAR_IRRADIANCE: (Unit.W_PER_M2,),
    Role.FLOW_TEMPERATURE: _TEMPERATURE,
    Role.FLOW_SETPOINT: _TEMPERATURE,
    Role.TANK_TEMPERATURE: _TEMPERATURE,
    Role.TANK_SETPOINT: _TEMPERATURE,
    Role.ENABLE: _ON_OFF,
    Role.RUNNING: _ON_OFF,
    Role.FAULT: (Unit.BINARY, Unit.INDEX),
    Role.CAPACITY_LIMIT: (Unit.PERCENT, Unit.KW),
    Role.HEAT_OUTPUT: _POWER,
    Role.ELECTRICITY_METER: _ENERGY,
    Role.ELECTRICITY_POWER: _POWER,
    Role.GAS_METER: (Unit.KWH, Unit.M3),
    Role.HEAT_METER: _ENERGY,
    Role.PV_METER: _ENERGY,
    Role.PV_POWER: _POWER,
    Role.DEMAND_LIMIT: _POWER,
    Role.CARBON_INTENSITY: (Unit.G_PER_KWH,),
    Role.ELECTRICITY_PRICE: (Unit.MONEY_PER_KWH,),
    Role.TEMPERATURE_FORECAST: _TEMPERATURE,
    Role.SOLAR_FORECAST: (Unit.W_PER_M2,),
    Role.HEARTBEAT: (Unit.COUNT, Unit.INDEX, Unit.BINARY),
}

COMMANDS = frozenset(  # the roles that a controller may write; all others are measured
    {
        Role.HEATING_SETPOINT,
        Role.COOLING_SETPOINT,
        Role.VALVE_POSITION,
        Role.LIGHT_LEVEL,
        Role.FAN_SPEED,
        Role.OUTDOOR_DAMPER,
        Role.SUPPLY_SETPOINT,
        Role.FLOW_SETPOINT,
        Role.TANK_SETPOINT,
        Role.ENABLE,
        Role.CAPACITY_LIMIT,
        Role.HEARTBEAT,
        Role.OTHER,
    }
)
