"""Places in the reader's language: 3号楼2单元7层, Building 3, unit 2, floor 7."""

from typing import Literal

from cloud.console.data import Place
from cloud.console.words import Voice
from cloud.words import places


def place(voice: Voice, where: Place, thing: str = "") -> str:
    """Where in the estate; where nothing nearer is known what stands there is called, else the estate's own name."""
    parts = (where.building, where.unit, where.floor, where.spot)
    return places.place(_language(voice), *(part or "" for part in parts)) or thing or where.estate


def building(voice: Voice, where: Place) -> str:
    """The building alone, or the estate's grounds for what stands in none."""
    return places.place(_language(voice), where.building or "", "", "", "") or voice.t("Grounds")


def _language(voice: Voice) -> Literal["zh", "en"]:
    return "zh" if voice.t.is_chinese else "en"
