"""How zones, their triggers and what is done there are said on each page of the box: Chinese first, English second."""

from edge.zones import Doubt, Mode, Phase

Words = tuple[str, str]

PHASES: dict[Phase, Words] = {
    Phase.QUIET: ("正常", "quiet"),
    Phase.ALERT: ("预警：未确认", "one trigger, not confirmed"),
    Phase.CONFIRMED: ("已确认报警", "confirmed"),
}
BLIND: Words = ("监视盲区", "blind")
MODES: dict[Mode, Words] = {
    Mode.DRILL: ("演练（联动动作）", "drill, everything is done"),
    Mode.SILENT_DRILL: ("演练（不动作）", "drill, nothing is done"),
    Mode.DRY_RUN: ("试运行（绝不动作）", "dry run, nothing is ever done"),
}
DOUBTS: dict[Doubt, Words] = {
    Doubt.NONE: ("正常", "fine"),
    Doubt.UNSEEN: ("启动后未收到数据", "not heard since the box started"),
    Doubt.OFFLINE: ("离线", "offline"),
    Doubt.FAULT: ("故障", "fault"),
    Doubt.STALE: ("数据过期", "no news for too long"),
    Doubt.TESTING: ("自检中", "under test"),
}
HAZARDS: dict[str, Words] = {
    "fire": ("火警", "fire"),
    "gas": ("燃气", "gas"),
    "leak": ("漏水", "leak"),
    "panic": ("求助", "panic"),
    "intrusion": ("入侵", "intrusion"),
}
ACTIONS: dict[str, Words] = {
    "release": ("释放门", "release"),
    "hold_open": ("抬杆常开", "hold open"),
    "sound": ("声光", "sound"),
    "announce": ("广播", "announce"),
    "show": ("显示", "show"),
    "switch": ("开关", "switch"),
    "close": ("落杆", "close"),
    "silence": ("消音", "silence"),
    "alert": ("预警", "alert"),
    "confirmed": ("确认报警", "confirmed"),
    "reset": ("复位", "reset"),
    "over": ("结束", "over"),
    "blind": BLIND,
    "drill": MODES[Mode.DRILL],
    "silent_drill": MODES[Mode.SILENT_DRILL],
    "dry_run": MODES[Mode.DRY_RUN],
}
STATUSES: dict[str, Words] = {
    "": ("进行中", "under way"),
    "executed": ("已执行", "done"),
    "sent_not_confirmed": ("已发送，未确认", "sent, not confirmed"),
    "failed": ("失败，重试中", "failed, trying again"),
    "refused": ("被拒绝", "refused"),
    "undone": ("被撤销，重新执行", "undone, doing it again"),
    "given_up": ("未完成", "not achieved"),
    "not_done": ("仅记录", "only recorded"),
    "unconfirmed": ("一个触发，未确认", "one trigger, not confirmed"),
    "joined": ("又一个触发", "another trigger"),
    "confirmed": ("已确认", "confirmed"),
    "again": ("重启后再次确认", "confirmed again after a restart"),
    "remembered": ("重启前已确认", "confirmed before a restart"),
    "cut_off": ("断网，就地报警", "cut off, made heard on the spot"),
    "not_heard": ("断网，未鸣响", "cut off, heard nowhere"),
    "over": ("解除", "over"),
    "done": ("完成", "done"),
    "started": ("开始", "started"),
    "ended": ("结束", "ended"),
}


def known(table: dict[str, Words], word: str) -> Words:
    """What a table says of a word, or the word itself."""
    return table.get(word, (word, ""))
