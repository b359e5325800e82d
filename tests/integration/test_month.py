"""A short month through the real engine: every labelled fire is told and confirmed, and the KPIs are counted."""

from cloud.store import Database as Store
from cloud.store import kpis
from simulators.month.cli import month
from simulators.month.report import lines
from simulators.month.run import Wish
from tests.support.servers import Database

WISH = Wish(estates=3, days=2, seed=3, fires=30, least=60, most=120)


async def test_every_fire_of_a_short_month_is_told_and_confirmed(database_plain: Database) -> None:
    async with Store.open(database_plain.url, 2) as store:
        found = await month(store, WISH, 1, lambda _: None)
        async with store.connect() as connection:  # a place is no number: the report once failed on a confirmed fire
            named = await kpis.names(connection, ["place:1/1/2", *(f"series:{n}" for n in range(1, 40))])
    assert len(named) == 40
    assert named["place:1/1/2"] == "place:1/1/2"
    assert len(found.fires) >= 3
    assert not found.missed
    # The first detector rings at once; the second one of its unit confirms once the smoke has come to it.
    assert all(fire.raised_after_s < 5 for fire in found.fires)
    assert all(fire.confirmed_after_s is not None and fire.confirmed_after_s < 300 for fire in found.fires)
    assert found.told > 20
    assert found.kpis.annunciations >= found.told
    assert found.kpis.get("labelled_real").value > 0
    text = "\n".join(lines(found))
    assert "missed: 0" in text
    assert "NEVER" not in text
    assert "alarms_per_10min_mean" in text
