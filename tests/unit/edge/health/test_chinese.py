"""Reasons in Chinese: every sentence that drivers say of a line is known, and what is not stays as it was said."""

import re
from pathlib import Path

import pytest

from edge.drivers.ble.adapter import Adapter, Lost
from edge.drivers.modbus.errors import EXCEPTIONS, Disconnected, refusal
from edge.drivers.modbus.port import SerialPort, _reason
from edge.health.chinese import in_both, in_chinese
from edge.reload import MISTAKES

HAN = re.compile("[一-鿿]")


@pytest.mark.parametrize("said", [*(str(refusal(code)) for code in EXCEPTIONS if code != 8), MISTAKES])
def test_what_a_unit_refuses_and_a_site_file_with_mistakes_are_known(said: str) -> None:
    assert HAN.search(in_chinese(said)), said
    assert in_both(said).endswith(f" · {said}")


@pytest.mark.parametrize("number", [2, 11, 13, 16])
def test_what_a_port_says_is_known(number: int) -> None:
    assert HAN.search(in_chinese(_reason(OSError(number, "system's words"))))


@pytest.mark.parametrize(
    ("said", "chinese"),
    [
        ("no answer within 0.05 s", "0.05 秒内无应答"),
        ("no answer within 0.05 s (the wait is shortened from 0.5 s for what is silent or was quick)",
         "0.05 秒内无应答（对无应答或一向应答快的单元，等待时间由 0.5 秒缩短）"),
        ("another box speaks under this box's identity (or this disk was restored): enrol one of them anew",
         "另有一台网关在用本机的身份（或本机磁盘是恢复的）：请让其中一台重新接入"),
        ("no connection to 10.0.0.9:502: [Errno 111] Connection refused", "连不上 10.0.0.9:502：对方拒绝连接"),
        ("no connection to the broker 10.0.0.9:1883: [Errno 111] Connection refused",
         "连不上消息服务器 10.0.0.9:1883：对方拒绝连接"),
        ("no connection to 10.0.0.9:502 within 1 s", "连不上 10.0.0.9:502"),
        ("no sound answer, only 7 bytes of something else", "没有正确应答，只收到 7 个无法识别的字节"),
        ("the site file was rolled back: 3 devices were lost by it. Mend it and reload",
         "站点文件已回退：它使 3 台设备掉线。请改正后重新加载"),
        ("the site file was rolled back: 2 devices were lost by it (door-1, smoke-1). Mend it and reload",
         "站点文件已回退：它使 2 台设备掉线 (door-1, smoke-1)。请改正后重新加载"),
        ("the edit before this one was rolled back: 2 devices were lost by it (door-1, smoke-1)",
         "上一次修改已回退：它使 2 台设备掉线 (door-1, smoke-1)"),
        ("the cloud cannot be reached: [Errno 101] Network is unreachable", "连不上云端：网络不可达"),
        ("the cloud cannot be reached: no connection to anju.example port 443: Connection refused",
         "连不上云端：连不上 anju.example 端口 443：对方拒绝连接"),
        ("the cloud cannot be reached: the proxy p:3128 answered 407 Login; it wants a login: name one (cloud.proxy",
         "连不上云端：代理 p:3128 要求登录：请在站点文件填写 cloud.proxy.user 和 .password"),
        ("the cloud answered 503: it is busy", "云端忙（503）：数据保存在本机，稍后自动重试"),
        ("/d/u.db: the disk has not answered for 5 s", "磁盘 5 秒没有响应（/d/u.db）：可能已损坏，请准备更换"),
        ("kept in memory only: disk I/O error", "仅存于内存，断电会丢失：请腾出空间或更换磁盘（disk I/O error）"),
        ("there is no secret 'k' in /etc/anju/secrets.\n    Put it there as a file of that name.",
         "密钥文件夹 /etc/anju/secrets 里没有“k”，请放入同名文件"),
    ],
)  # fmt: skip
def test_a_sentence_keeps_its_numbers_and_its_reason(said: str, chinese: str) -> None:
    assert in_chinese(said) == chinese


async def test_what_the_commonest_faults_really_say_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Disconnected) as port:
        await SerialPort("/dev/ttyNone9", 9600, "none", 1).open(lambda _: None, lambda _: None, 0.1)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/bus")
    with pytest.raises(Lost) as radio:
        async with Adapter("hci0"):
            pass
    assert in_chinese(str(port.value)) == "/dev/ttyNone9 打不开：没有这个串口，转换器插好了吗？"
    assert in_chinese(str(radio.value)).startswith("系统 D-Bus 不可用：没有这个文件")


@pytest.mark.parametrize("said", ["", "something new", "no answer", r"\1 odd"])
def test_what_is_not_known_stays(said: str) -> None:
    assert in_both(said) == in_chinese(said) == said


def test_the_sentences_are_those_that_the_code_says() -> None:
    root = Path(__file__).resolve().parents[4] / "edge"
    code = "\n".join(path.read_text(encoding="utf-8") for path in root.rglob("*.py") if path.name != "chinese.py")
    for start in ("no answer within {", "no sound answer, only {", "no message for {", "nothing heard for {",
                  "no connection to the broker {", "bluetoothd does not run; ", "is switched off; say",
                  "there is no Bluetooth adapter {", "devices were lost by it{", "this site file was rolled back, ",
                  "another client at the broker took {", "the broker refuses the login ({", "is no bindkey of {",
                  "the cloud cannot be reached: {", "nothing heard yet", "the cloud answered something unexpected: {",
                  "the cloud answered {", "the cloud refused the blocks: {", "the cloud's certificate is not trusted (",
                  "the proxy {", "it wants a login: ", "it does not take its login: ", "cannot be looked up: {",
                  "port {port}: {problem}", "no whole answer", "not a word for {", "the disk has not answered for {",
                  "kept in memory only: {", "the system's D-Bus cannot be used: {", "cannot be opened: {",
                  "the adapter was unplugged", "its bus is lost: {", "not connected yet",
                  "the radio was not found yet",
                  "(the wait is shortened from {", "the edit before this one was rolled back: ",
                  "} closed the connection",
                  "bluetoothd does not answer: {", "this user may not talk to bluetoothd; ",
                  "no value for long"):  # fmt: skip
        assert start in code, f"nobody says {start!r} any more: edge/health/chinese.py"
