"""The guard page's documents as HTML: no script is needed to read them or to use them. Pure."""

from html import escape

from edge.guard import words
from edge.guard.live import field, live, say, title_of
from edge.guard.words import Words, pair
from edge.zones import GuardView, Mode, ZoneView

REFRESH_S = 5
MINUTES = (5, 15, 30, 60)
_INPUT = (
    '<input id="password" name="password" type="password" autocomplete="current-password" maxlength="200" '
    "required autofocus>"
)


def document(estate: str, title: str, body: str, *, refresh: bool = False) -> str:
    """A whole page. `refresh` renews it by itself: by script where there is one, else by loading it again."""
    renewing = ""
    if refresh:
        renewing = (
            f'<noscript><meta http-equiv="refresh" content="{REFRESH_S}"></noscript>'
            '<script src="/static/live.js" defer></script>'
        )
    return (
        '<!doctype html><html lang="zh"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<title>{escape(title)} · 安居值班页</title><link rel="stylesheet" href="/static/guard.css">'
        f'<link rel="icon" href="data:,">{renewing}</head><body>'
        f"<header><h1>{pair('安居值班页', 'Anju guard page')}</h1><p>{escape(estate)}</p></header>"
        f"{body}<footer>{say(words.NEVER_REPLACES)}</footer></body></html>"
    )


def main_page(view: GuardView, form_token: str) -> str:
    """The page of someone who is logged in."""
    old = pair("页面未更新：连不上本机，下面是旧内容", "not live: the box cannot be reached, what follows is old")
    lost = f'<p id="lost" class="band bad" role="alert" hidden>{old}</p>'
    return document(view.estate, title_of(view), f"{lost}<main data-live>{live(view, form_token)}</main>", refresh=True)


def login_page(estate: str, problem: Words | None = None) -> str:
    """Asks for the password."""
    form = (
        f'<form method="post" action="/login" class="card"><label for="password">{pair("密码", "password")}</label>'
        f'{_INPUT}<button class="primary">{pair("登录", "log in")}</button></form>'
    )
    return document(estate, "登录", f"<main>{_band(problem) if problem else ''}{form}</main>")


def told_page(estate: str, problem: Words) -> str:
    """Says why something was not done, with the way back."""
    return document(estate, "未执行", f"<main>{_band(problem)}<p>{_back('返回', 'back')}</p></main>")


def ask_page(estate: str, zone: ZoneView, what: str, form_token: str) -> str:
    """Asks once more before something is done: release, reset, or a drill."""
    kind = "danger"
    match what:
        case "release":
            title, go = ("释放门和车闸", "release doors and gates"), ("确认释放", "release now")
            text = (
                f"<p>{say(('立即打开规则中列出的所有门和车闸。', 'Opens all doors and gates of its rules, now.'))}</p>"
            )
        case "reset":
            title, go = ("复位", "reset"), ("确认复位", "reset now")
            text = (
                f"<p>{say(('火情已处理完毕？复位后不再保持释放。', 'Is it over? Nothing is held open any more.'))}</p>"
            )
        case _:
            title, go, kind = ("演练与试运行", "drill and dry run"), ("开始", "start"), "primary"
            text = _drill_choice(zone)
    form = (
        f'<form method="post" action="/zones/{escape(zone.id)}/{what}">{field(form_token)}{text}<div class="buttons">'
        f'<button class="{kind}">{pair(*go)}</button>{_back("取消", "cancel")}</div></form>'
    )
    section = f'<section class="card"><h2>{say(title)}</h2><p><b>{escape(zone.name)}</b></p>{form}</section>'
    return document(estate, title[0], f"<main>{section}</main>")


def _back(zh: str, en: str) -> str:
    return f'<a class="button" href="/">{pair(zh, en)}</a>'


def _band(problem: Words) -> str:
    return f'<p class="band bad" role="alert">{say(problem)}</p>'


def _drill_choice(zone: ZoneView) -> str:
    choices = []
    for mode in Mode:
        may = mode is not Mode.SILENT_DRILL or zone.may_drill_silently
        why = "" if may else say(("（该分区没有多余的探测器）", "no trigger to spare in this zone"))
        state = " checked" if mode is Mode.DRILL else "" if may else " disabled"
        choices.append(
            f'<p><label><input type="radio" name="mode" value="{mode}"{state}> {say(words.MODES[mode])}</label>{why}'
            f"<br>{say(words.MODE_HELP[mode])}</p>"
        )
    options = "".join(f'<option value="{m}"{" selected" if m == 15 else ""}>{m} 分钟 min</option>' for m in MINUTES)
    ends = ("到时自动结束；结束时仍在报警的会真正动作。", "It ends by itself; what is still in alarm then is acted on.")
    return (
        f'{"".join(choices)}<p><label>{pair("时长", "for")} <select name="minutes">{options}</select></label></p>'
        f"<p>{say(ends)}</p>"
    )
