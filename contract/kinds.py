"""The vocabulary: kinds of devices and their standard points, as data.

Rules, console and reports speak of kinds (`smoke_detector.smoke`), never of a vendor's register. A profile maps a
model to a kind. Each kind names its points with unit, type and direction; a point's type fixes its lane.
"""

from enum import StrEnum

import msgspec


class PointType(StrEnum):
    """What a point carries."""

    TELEMETRY = "telemetry"
    """A number that varies; lane bulk."""
    STATE = "state"
    """One word of a short list; lane urgent."""
    EVENT = "event"
    """Something that happened, with fields; lane urgent."""
    COMMAND = "command"
    """Something a person or a rule asks of the device."""


class Lane(StrEnum):
    """Which of a box's two streams carries a series (ARCHITECTURE.md, decision 2)."""

    URGENT = "urgent"
    BULK = "bulk"


class Word(msgspec.Struct, frozen=True):
    """One word of a state, with how each language says it."""

    code: str
    zh: str
    en: str


class Point(msgspec.Struct, frozen=True):
    """One standard point of a kind.

    `words` is filled for states, the normal one first; `fields` for events and commands (the names of what they
    carry). `commandable` marks a state that can also be commanded (a valve).
    """

    name: str
    type: PointType
    zh: str
    en: str
    unit: str = ""
    words: tuple[Word, ...] = ()
    fields: tuple[str, ...] = ()
    commandable: bool = False

    @property
    def lane(self) -> Lane:
        """The stream that carries this point's readings."""
        return Lane.BULK if self.type is PointType.TELEMETRY else Lane.URGENT

    def word(self, code: str) -> Word | None:
        """The word for a state's code, or None when the kind does not know it."""
        return next((word for word in self.words if word.code == code), None)


class Kind(msgspec.Struct, frozen=True):
    """A kind of device: what it is called and the points it may have."""

    name: str
    zh: str
    en: str
    points: dict[str, Point]


def _t(name: str, unit: str, zh: str, en: str) -> Point:
    return Point(name, PointType.TELEMETRY, zh, en, unit=unit)


def _s(name: str, zh: str, en: str, *words: tuple[str, str, str], commandable: bool = False) -> Point:
    states = tuple(Word(*word) for word in words) or NO_YES
    return Point(name, PointType.STATE, zh, en, words=states, commandable=commandable)


def _e(name: str, zh: str, en: str, *fields: str) -> Point:
    return Point(name, PointType.EVENT, zh, en, fields=fields)


def _c(name: str, zh: str, en: str, *fields: str) -> Point:
    return Point(name, PointType.COMMAND, zh, en, fields=fields)


PERSONAL_FIELDS = frozenset({"credential", "plate"})
"""Fields of events that say who it was: only tokens of them leave the box."""

NO_YES = (Word("normal", "正常", "normal"), Word("active", "动作", "active"))
_ALARM = (("normal", "正常", "normal"), ("alarm", "报警", "alarm"))
_FAULT = (("ok", "正常", "OK"), ("fault", "故障", "fault"))
_RUN = (("stopped", "停止", "stopped"), ("running", "运行", "running"))
_VALVE = (("open", "开", "open"), ("closed", "关", "closed"))

COMMON = (
    _s("link", "通信", "link", ("online", "在线", "online"), ("offline", "离线", "offline")),
    _t("battery", "%", "电量", "battery"),
    _s("tamper", "防拆", "tamper", ("normal", "正常", "normal"), ("tampered", "被拆", "tampered")),
    _s("fault", "故障", "fault", *_FAULT),
    _t("rssi", "dBm", "信号", "signal"),
    _e("linkage", "联动", "linkage", "zone", "rule", "action", "status", "mode", "by", "why"),
)
"""Points that every kind may have, where the hardware says so. What linkage did with a device, the box says itself."""


def _kind(name: str, zh: str, en: str, *points: Point) -> Kind:
    return Kind(name, zh, en, {point.name: point for point in (*COMMON, *points)})


_METER_VALVE = _s("valve", "阀门", "valve", *_VALVE, commandable=True)
_LEAK = _s("leak", "漏水", "leak", ("dry", "正常", "dry"), ("leak", "漏水", "leak"))
_VOLUME = (_t("volume", "m³", "累计", "volume"), _t("flow", "m³/h", "流量", "flow"))
_RUNNING = _s("running", "运行", "running", *_RUN)
_SWITCH = _c("switch", "开关", "switch", "on")

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        _kind(
            "door", "门禁", "door",
            _s("contact", "门磁", "contact", ("closed", "关", "closed"), ("open", "开", "open")),
            _s("lock", "门锁", "lock", ("locked", "锁闭", "locked"), ("unlocked", "开锁", "unlocked")),
            _e("access", "刷卡", "access", "credential", "granted", "reader"),
            _e("forced_open", "强行开门", "forced open"),
            _s("held_open", "门未关", "held open", ("normal", "正常", "normal"), ("held", "超时未关", "held open")),
            _e("duress", "胁迫", "duress"),
            _c("unlock", "开门", "unlock", "seconds"),
            _c("release", "消防释放", "fire release"),
        ),
        _kind(
            "vehicle_gate", "车闸", "vehicle gate",
            _s("barrier", "道闸", "barrier",
               ("down", "落杆", "down"), ("up", "抬杆", "up"), ("moving", "动作中", "moving")),
            _e("passage", "过车", "passage", "plate", "direction"),
            _s("obstructed", "受阻", "obstructed", ("clear", "正常", "clear"), ("obstructed", "受阻", "obstructed")),
            _c("open", "抬杆", "open"),
            _c("close", "落杆", "close"),
            _c("hold_open", "消防常开", "hold open"),
            _t("queue", "辆", "排队", "queue"),
        ),
        _kind(
            "smoke_detector", "烟感", "smoke detector",
            _s("smoke", "烟雾", "smoke", ("clear", "正常", "clear"), ("smoke", "报警", "alarm")),
            _s("test", "自检", "test", ("idle", "未自检", "idle"), ("testing", "自检中", "testing")),
            _t("obscuration", "%/m", "减光率", "obscuration"),
            _t("temperature", "°C", "温度", "temperature"),
            _s("contamination", "污染", "contamination", ("clean", "清洁", "clean"), ("dirty", "需清洗", "dirty")),
        ),
        _kind("heat_detector", "温感", "heat detector",
              _s("fire", "火警", "fire", *_ALARM), _t("temperature", "°C", "温度", "temperature")),
        _kind("manual_call_point", "手报", "manual call point", _s("fire", "火警", "fire", *_ALARM)),
        _kind("gas_detector", "燃气", "gas detector",
              _t("gas", "%LEL", "浓度", "gas"), _s("alarm", "报警", "alarm", *_ALARM), _METER_VALVE),
        _kind("water_leak", "水浸", "water leak sensor", _LEAK),
        _kind("water_level", "液位", "water level",
              _t("level", "m", "液位", "level"), _t("rain", "mm/h", "雨量", "rain")),
        _kind("panic_button", "一键报警", "panic button", _e("pressed", "求助", "pressed", "place")),
        _kind(
            "intrusion", "周界", "intrusion",
            _s("motion", "移动", "motion", ("still", "无", "still"), ("motion", "有人", "motion")),
            _s("zone", "防区", "zone", ("disarmed", "撤防", "disarmed"), ("armed", "布防", "armed")),
            _e("breach", "入侵", "breach"),
        ),
        _kind(
            "environment", "环境", "environment",
            _t("temperature", "°C", "温度", "temperature"), _t("humidity", "%", "湿度", "humidity"),
            _t("pm25", "µg/m³", "PM2.5", "PM2.5"), _t("noise", "dB", "噪声", "noise"), _t("co2", "ppm", "CO₂", "CO₂"),
        ),
        _kind(
            "electricity_meter", "电表", "electricity meter",
            _t("energy", "kWh", "电量", "energy"), _t("power", "kW", "功率", "power"),
            *(_t(f"voltage_{p}", "V", f"{p.upper()}相电压", f"voltage {p.upper()}") for p in "abc"),
            *(_t(f"current_{p}", "A", f"{p.upper()}相电流", f"current {p.upper()}") for p in "abc"),
            _s("relay", "继电器", "relay", ("closed", "合闸", "closed"), ("open", "分闸", "open"), commandable=True),
        ),
        _kind("water_meter", "水表", "water meter", *_VOLUME, _METER_VALVE, _LEAK),
        _kind("gas_meter", "气表", "gas meter", *_VOLUME, _METER_VALVE,
              _s("leak", "漏气", "leak", ("normal", "正常", "normal"), ("leak", "漏气", "leak"))),
        _kind("heat_meter", "热表", "heat meter", *_VOLUME, _METER_VALVE, _LEAK),
        _kind("pump", "水泵", "pump", _RUNNING, _SWITCH),
        _kind("lighting", "照明", "lighting", _RUNNING, _SWITCH),
        _kind("fan", "风机", "fan", _RUNNING, _SWITCH),
        _kind("elevator", "电梯", "elevator", _RUNNING, _e("trapped", "困人", "trapped")),
        _kind("hydrant", "消防水压", "hydrant", _t("pressure", "MPa", "水压", "pressure")),
        _kind(
            "camera_event", "视频事件", "camera event",
            _e("gathering", "聚集", "gathering", "image"), _e("illegal_parking", "违停", "illegal parking", "image"),
            _e("intrusion", "闯入", "intrusion", "image"),
        ),
        _kind("bin", "垃圾桶", "bin", _t("fill", "%", "满溢", "fill")),
        _kind("sounder", "声光", "sounder",
              _s("active", "鸣响", "active", *_RUN), _c("sound", "鸣响", "sound", "seconds")),
        _kind("broadcast", "广播", "broadcast",
              _s("active", "播放", "active", *_RUN), _c("announce", "播报", "announce", "text")),
        _kind("display", "屏", "display", _s("active", "显示", "active", *_RUN), _c("show", "显示", "show", "text")),
        _kind("appliance", "家电", "appliance", _RUNNING, _SWITCH),
        _kind("locker", "快递柜", "locker", _RUNNING),
        _kind("kiosk", "自助机", "kiosk", _RUNNING),
        _kind("network", "网络", "network", _t("latency", "ms", "时延", "latency"), _t("loss", "%", "丢包", "loss")),
    )
}  # fmt: skip
"""Every kind by name. Source: the programme's device list."""
