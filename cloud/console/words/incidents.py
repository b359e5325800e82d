"""Incidents in words: what it is, where it stands, what comes next."""

from cloud.console.i18n import N_
from cloud.console.incidents.data import IncidentRow, Kind, Reporter, RollAnswer
from cloud.console.words import Voice
from cloud.console.words.places import place
from cloud.incidents.machine import Act, State

KIND_WORDS = {
    Kind.FIRE: N_("fire", "incident"),
    Kind.WATER: N_("water", "incident"),
    Kind.PERSON: N_("person in need", "incident"),
    Kind.SECURITY: N_("security", "incident"),
    Kind.FACILITY: N_("facility broken", "incident"),
    Kind.OTHER: N_("something else", "incident"),
}
STATE_WORDS = {
    State.REPORTED: N_("nobody sent", "incident state"),
    State.DISPATCHED: N_("sent, not accepted", "incident state"),
    State.DECLINED: N_("declined, nobody sent", "incident state"),
    State.ACCEPTED: N_("on the way", "incident state"),
    State.ARRIVED: N_("on site", "incident state"),
    State.RESOLVED: N_("resolved, to be reviewed", "incident state"),
    State.REVIEWED: N_("reviewed", "incident state"),
    State.CANCELLED: N_("called off", "incident state"),
}
REPORTER_WORDS = {
    Reporter.ALARM: N_("alarm", "reporter"),
    Reporter.GUARD: N_("operator on duty", "reporter"),
    Reporter.GRID_WORKER: N_("grid worker", "reporter"),
    Reporter.RESIDENT: N_("resident", "reporter"),
}
STEP_WORDS = {
    "report": N_("Reported", "incident step"),
    "escalate": N_("Late: told the next one", "incident step"),
    "join": N_("Alarm added", "incident step"),
    "comment": N_("Comment", "incident step"),
    Act.DISPATCH: N_("Sent", "incident step"),
    Act.ACCEPT: N_("Accepted", "incident step"),
    Act.DECLINE: N_("Declined", "incident step"),
    Act.ARRIVE: N_("On site", "incident step"),
    Act.RESOLVE: N_("Resolved", "incident step"),
    Act.REVIEW: N_("Reviewed", "incident step"),
    Act.REOPEN: N_("Opened again", "incident step"),
    Act.CANCEL: N_("Called off", "incident step"),
}
RUNG_WORDS = {
    "grid_worker": N_("grid worker", "rung"),
    "guard": N_("operator on duty", "rung"),
    "manager": N_("property manager", "rung"),
    "community": N_("community", "rung"),
    "street": N_("street office", "rung"),
}
AWAITED = {
    State.REPORTED: N_("to send somebody", "limit"),
    State.DECLINED: N_("to send somebody", "limit"),
    State.DISPATCHED: N_("to accept", "limit"),
    State.ACCEPTED: N_("to arrive", "limit"),
    State.ARRIVED: N_("to resolve it", "limit"),
    State.RESOLVED: N_("to review it", "limit"),
}
"""What has to come within the limit that runs in a state."""
ANSWER_WORDS = {
    RollAnswer.COMING: N_("coming", "roll-call"),
    RollAnswer.THERE: N_("there", "roll-call"),
    RollAnswer.CANNOT: N_("cannot come", "roll-call"),
}


def kind_word(voice: Voice, kind: Kind) -> str:
    """火情, fire."""
    return voice.t.p("incident", KIND_WORDS[kind])


def incident_title(voice: Voice, row: IncidentRow) -> str:
    """Place and kind: 3号楼2单元7层 火情 / Building 3, unit 2, floor 7: fire."""
    return voice.t.p("incident", "%(place)s: %(kind)s", place=place(voice, row.place), kind=kind_word(voice, row.kind))


def incident_state(voice: Voice, state: State) -> str:
    """未派人, 在途, on site."""
    return voice.t.p("incident state", STATE_WORDS[state])


def step_word(voice: Voice, act: str) -> str:
    """What happened; an act that is newer than the console is said by its name."""
    return voice.t.p("incident step", STEP_WORDS[act]) if act in STEP_WORDS else act
