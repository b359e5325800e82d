"""How the guard page says things: Chinese first, English second."""

from html import escape

from edge.zone_words import ACTIONS, BLIND, DOUBTS, HAZARDS, MODES, PHASES, STATUSES, Words, known
from edge.zones import Mode, Mute, Noise

__all__ = ["ACTIONS", "BLIND", "DOUBTS", "HAZARDS", "MODES", "PHASES", "STATUSES", "Words", "known", "pair"]

NOISES: dict[Noise, Words] = {
    Noise.ALL: ("烟感或燃气报警由本机就地鸣响。", "Any smoke or gas alarm is made heard on the spot."),
    Noise.SOME: (
        "只有部分分区的报警会就地鸣响，其余只显示在本页：请有人看守本页。",
        "Only some zones sound on the spot; other alarms are shown on this page alone: somebody must watch it.",
    ),
    Noise.NONE: (
        "没有配置声光器，报警不会就地鸣响，只显示在本页：请有人看守本页。",
        "Nothing sounds on the spot, for no sounder is configured: alarms are shown on this page alone. Watch it.",
    ),
}
MUTES: dict[Mute, Words] = {
    Mute.NO_SOUNDER: ("未鸣响：没有配置声光器", "heard nowhere: no sounder is configured"),
    Mute.MODE: ("未鸣响：正在不动作演练或试运行", "heard nowhere: a drill or dry run without actions is under way"),
}
MODE_HELP: dict[Mode, Words] = {
    Mode.DRILL: (
        "门、车闸、声光照常动作，并标记为演练。",
        "Doors, gates and sounders work as in a fire, marked as a drill.",
    ),
    Mode.SILENT_DRILL: (
        "只记录不动作；若比规则多一个探测器报警，按真火处理并立即动作。",
        "Nothing is done, only recorded; one trigger more than the rule needs is taken for a real fire.",
    ),
    Mode.DRY_RUN: (
        "调试用：无论多少探测器报警都只记录。期间必须有人在现场。",
        "For putting into service: whatever is triggered is only recorded. Someone must be on the spot.",
    ),
}
DONE = frozenset({"executed", "done", "ended", "over"})
WRONG = frozenset({"sent_not_confirmed", "failed", "refused", "given_up", "undone"})
BY: dict[str, Words] = {"rule": ("规则", "rule"), "guard page": ("值班页", "guard page"), "box": ("本机", "box")}
NEVER_REPLACES: Words = (
    "安居辅助经认证的火灾报警控制器，绝不替代它。火警以火灾报警控制器为准。",
    "Anju supplements the certified fire-alarm panel and never replaces it. In a fire the panel is what counts.",
)


def pair(zh: str, en: str) -> str:
    """Both languages as HTML, the English smaller."""
    return f'{escape(zh)} <small lang="en">{escape(en)}</small>' if en else escape(zh)
