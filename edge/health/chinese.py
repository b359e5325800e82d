"""What is wrong, in Chinese, for the page and the live view: sentences that drivers and reload say most. Pure.

What is not known here stays as it was said: an English reason is better than none. Logs and the cloud have the English.
"""

import re
from typing import Final

_SENTENCES: Final = [
    (re.compile(pattern, re.DOTALL), chinese)
    for pattern, chinese in (
        # serial lines and Modbus
        (r"no answer within (\S+) s", r"\1 秒内无应答"),
        (
            r"no answer within (\S+) s \(the wait is shortened from (\S+) s .*\)",
            r"\1 秒内无应答（对无应答或一向应答快的单元，等待时间由 \2 秒缩短）",
        ),
        (r"no sound answer, only (\d+) bytes of something else", r"没有正确应答，只收到 \1 个无法识别的字节"),
        (r"exception (\d+): illegal function", r"异常 \1：不支持此功能码"),
        (r"exception (\d+): illegal address", r"异常 \1：地址非法，型号或固件与配置不符"),
        (r"exception (\d+): illegal value", r"异常 \1：数值非法"),
        (r"exception (\d+): device failure", r"异常 \1：设备故障"),
        (r"exception (\d+): acknowledged, still working", r"异常 \1：已收到，仍在处理"),
        (r"exception (\d+): device busy", r"异常 \1：设备忙"),
        (r"exception (\d+): gateway has no path .*", r"异常 \1：网关没有到该单元的通路，请检查网关设置"),
        (r"exception (\d+): gateway got no answer .*", r"异常 \1：网关未收到该单元的应答"),
        (r"there is no such port; .*", "没有这个串口，转换器插好了吗？"),
        (r"no right to use it; .*", "无权使用：运行用户须属于 dialout 组"),
        (r"another program uses it", "被别的程序占用"),
        (r"no connection to the broker (\S+?): (.*)", r"连不上消息服务器 \1：\2"),
        (r"no connection to the broker (\S+)", r"连不上消息服务器 \1"),
        (r"no connection to (\S+?)(?: within (\S+) s)?", r"连不上 \1"),
        (r"no connection to (\S+?): (.*)", r"连不上 \1：\2"),
        (r"(\S+) cannot be opened: (.*)", r"\1 打不开：\2"),
        (r"(\S+) is not open", r"\1 未打开"),
        (r"(/dev/\S+|\S+:\d+): (.*)", r"\1：\2"),
        (r"the adapter was unplugged", "转换器被拔出"),
        (r"it takes no bytes any more", "串口不再接收数据"),
        (r"(\S+) closed the connection", r"\1 断开了连接"),
        (r"nothing was heard for (\S+) s; it is opened anew", r"\1 秒没有任何应答，正在重新打开"),
        (r"no answer, and older ones may still come", "无应答，之前的应答可能仍会到来"),
        (
            r"the line is never quiet; .*",
            "线路一直有信号：请检查接线、终端电阻，以及是否有第二个主站",
        ),
        (r"its answer was waited for no longer: a command came", "有命令要执行，不再等它的应答"),
        (r"its bus is lost: (.*)", r"总线断开：\1"),
        (r"its bus does not run at the moment; nothing was done", "总线暂未运行，未执行"),
        (r"not connected yet", "尚未连接"),
        (r"the driver stopped", "驱动已停止"),
        (r"no value for long", "很久没有数据"),
        (r"an error within the box; its log has the details", "本机程序出错，详见日志"),
        # radios and brokers
        (r"the system's D-Bus cannot be used: (.*)", r"系统 D-Bus 不可用：\1。请执行 systemctl status dbus 查看"),
        (r"bluetoothd does not answer: (.*)", r"bluetoothd 无应答：\1"),
        (r"this user may not talk to bluetoothd; .*", "运行用户无权使用 bluetoothd，须加入 bluetooth 组"),
        (r"the Bluetooth adapter (\w+) does not listen: (.*)", r"蓝牙适配器 \1 无法监听：\2"),
        (r"the radio was not found yet", "尚未找到蓝牙适配器"),
        (r"not connected within (\S+) s", r"\1 秒内连不上"),
        (r"not connected: (.*)", r"连不上：\1"),
        (r"the connection broke: (.*)", r"连接中断：\1"),
        (r"it is not heard, so that it cannot be connected", "收不到它的信号，无法连接"),
        (r"the certificate authority (\S+) cannot be used: (.*)", r"证书 \1 无法使用：\2"),
        (r"the broker does not let (.*?) read (\S+)", r"消息服务器不允许 \1 读取 \2"),
        (r"there is no secret '(.*?)', as ANJU_SECRETS names no folder.*", r"没有密钥“\1”：ANJU_SECRETS 未指定文件夹"),
        (r"the secret (\S+) cannot be read: (.*)", r"密钥 \1 读不出：\2"),
        (r"nothing heard for (\d+) s", r"\1 秒没有收到信号"),
        (r"nothing heard: (.*)", r"没有收到信号：\1"),
        (r"nothing heard yet", "尚无消息"),
        (r"no message for (\S+) s", r"\1 秒没有消息"),
        (r"bluetoothd does not run; .*", "bluetoothd 未运行，请执行 systemctl status bluetooth 查看"),
        (r"there is no Bluetooth adapter (\w+); .*", r"没有蓝牙适配器 \1，插好了吗？bluetoothctl list 可列出全部"),
        (r"the Bluetooth adapter (\w+) is switched off; .*", r"蓝牙适配器 \1 已关闭，请执行 bluetoothctl power on"),
        (r"another client at the broker took (.*)", r"另一个客户端占用了名字 \1"),
        (r"the broker refuses the login \((.*?)\); .*", r"消息服务器拒绝登录（\1），请检查站点文件中的用户名和密码"),
        (r"there is no secret '(.*?)' in (\S+?)\.\s.*", r"密钥文件夹 \2 里没有“\1”，请放入同名文件"),
        (r"the secret '(.*?)' is no bindkey of (\S+?): .*", r"密钥“\1”不是 \2 的 bindkey：须为 32 位十六进制数"),
        (r"the cloud cannot be reached: (.*)", r"连不上云端：\1"),
        (r"the cloud answered something unexpected: .*", "云端的回答无法识别：途中是否有需登录的网页或代理？"),
        (r"the cloud answered 401.*", "云端不（再）接受本机的会话（401），正在重新登录；若持续，请在云端查看此网关"),
        (r"the cloud answered (403|404).*", r"云端不认识本机或已停用（\1）：请在云端查看此网关，必要时重新接入"),
        (r"the cloud answered (429|503).*", r"云端忙（\1）：数据保存在本机，稍后自动重试"),
        (r"the cloud answered (\d+).*", r"云端回答 \1：数据保存在本机，稍后自动重试"),
        (r"the cloud refused the blocks: (\w+)", r"云端要求补发（\1），本机正在处理"),
        (
            r"the cloud's certificate is not trusted .*",
            "云端证书不受信任：请在站点文件 cloud.ca 指定证书，或检查本机日期",
        ),
        (
            r"the proxy (\S+) answered 407.*it wants .*",
            r"代理 \1 要求登录：请在站点文件填写 cloud.proxy.user 和 .password",
        ),
        (r"the proxy (\S+) answered 407.*it does .*", r"代理 \1 不接受此登录：请改正 cloud.proxy.user 和 .password"),
        (r"the proxy (\S+) answered (.*)", r"代理 \1 回答 \2"),
        (r"the name (\S+) cannot be looked up: .*", r"域名 \1 无法解析，请检查网络和 DNS"),
        (r"no connection to (\S+) port (\d+): (.*)", r"连不上 \1 端口 \2：\3"),
        (r"no connection within (\S+) s", r"\1 秒内连不上"),
        (r"no whole answer within (\S+) s", r"\1 秒内没有收到完整应答"),
        (r"not a word for (\S+) s", r"\1 秒没有回应"),
        # the disk
        (r"(\S+): the disk has not answered for (\d+) s", r"磁盘 \2 秒没有响应（\1）：可能已损坏，请准备更换"),
        (r"kept in memory only: (.*)", r"仅存于内存，断电会丢失：请腾出空间或更换磁盘（\1）"),
        (
            r"another box speaks under this box's identity .*",
            "另有一台网关在用本机的身份（或本机磁盘是恢复的）：请让其中一台重新接入",
        ),
        # the site file
        (r"the site file has mistakes: `anju check`", "站点文件有误，请执行 anju check 查看"),
        (
            r"the site file was rolled back: (\d+) devices were lost by it( \(.*?\))?\. .*",
            r"站点文件已回退：它使 \1 台设备掉线\2。请改正后重新加载",
        ),
        (
            r"the edit before this one was rolled back: (\d+) devices were lost by it( \(.*?\))?",
            r"上一次修改已回退：它使 \1 台设备掉线\2",
        ),
        (r"the edit before this one was rolled back: .*", "上一次修改已回退：程序出错，详见日志"),
        (r"the site file was rolled back: .*", "站点文件已回退：程序出错，详见日志。请改正后重新加载"),
        (r"this site file was rolled back, .*", "站点文件曾被回退，正在运行之前的配置。请改正后重新加载"),
        # what systems say
        (r"\[Errno 111\] .*|Connection refused", "对方拒绝连接"),
        (r"\[Errno 110\] .*|Connection timed out", "连接超时"),
        (r"\[Errno 113\] .*|No route to host", "到对方没有路由"),
        (r"\[Errno 101\] .*|Network is unreachable", "网络不可达"),
        (r"\[Errno -[0-9]+\] .*", "域名无法解析"),
        (r"\[Errno 2\] .*|No such file or directory", "没有这个文件"),
        (r"\[Errno 13\] .*|Permission denied", "没有权限"),
        (r"\[Errno 28\] .*|No space left on device", "磁盘已满"),
        (r"\[Errno 30\] .*|Read-only file system", "磁盘只读"),
        (r"\[Errno 5\] .*|Input/output error", "读写出错，设备可能已损坏或被拔出"),
        (r"\[Errno 19\] .*|No such device", "没有这个设备"),
        (r"\[Errno 104\] .*|Connection reset by peer", "对方断开了连接"),
    )
]


def in_chinese(said: str) -> str:
    """The sentence in Chinese where it is known, else as it is; also what it gives as its reason."""
    for pattern, chinese in _SENTENCES:
        if found := pattern.fullmatch(said):
            for number, part in enumerate(found.groups(), 1):
                chinese = chinese.replace(f"\\{number}", in_chinese(part or ""))  # a short loop
            return chinese
    return said


def in_both(said: str) -> str:
    """The sentence in Chinese and as it was said; only that where there is no Chinese for it."""
    chinese = in_chinese(said)
    return said if chinese == said else f"{chinese} · {said}"
