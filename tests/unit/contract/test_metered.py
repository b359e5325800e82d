"""A site on a metered link: what does not change is seldom repeated, and the cloud is told how seldom."""

from contract.kinds import Lane
from contract.profile import load_profiles, shipped_profiles
from contract.site import LINK_HEARTBEAT_S, inventory_of, load_site, resolve
from contract.site.load import METERED_STATE_S, METERED_TELEMETRY_S

SITE = """\
estate: {{name: 西苑小区}}
cloud: {{url: "https://anju.example.org"{metered}}}
buses:
  - id: panel
    protocol: modbus-tcp
    host: 127.0.0.1
    devices:
      - {{id: smoke-1, name: 烟感1, profile: anju-smoke-panel-16, unit: 1, channel: 0}}
      - {{id: meter-1, name: 电表, profile: anju-electricity-meter, unit: 2}}
"""


def loaded(folder, metered):
    path = folder / "site.yaml"
    path.write_text(SITE.format(metered=metered), encoding="utf-8")
    profiles = load_profiles(shipped_profiles())
    return load_site(path, profiles), profiles


def test_what_does_not_change_is_seldom_repeated_and_never_more_often_than_the_profile_says(tmp_path):
    (plain, profiles), (metered, _) = loaded(tmp_path, ""), loaded(tmp_path, ", metered: true")
    least = {Lane.BULK: METERED_TELEMETRY_S, Lane.URGENT: METERED_STATE_S}
    before = {(s.device, s.point): s.stale_after_s for s in inventory_of(plain, profiles).series}
    for series in inventory_of(metered, profiles).series:
        assert series.stale_after_s == 2.5 * max(least[series.lane], before[series.device, series.point] / 2.5)
    assert {item.link_heartbeat_s for item in resolve(plain, profiles)} == {LINK_HEARTBEAT_S}
    assert {item.link_heartbeat_s for item in resolve(metered, profiles)} == {METERED_STATE_S}


def test_a_metered_site_seals_each_minute_unless_it_says_otherwise(tmp_path):
    assert loaded(tmp_path, "")[0].storage.seal_s == 5
    assert loaded(tmp_path, ", metered: true")[0].storage.seal_s == 60
    (tmp_path / "site.yaml").write_text(SITE.format(metered=", metered: true") + "storage: {seal_s: 2}\n")
    assert load_site(tmp_path / "site.yaml", load_profiles(shipped_profiles())).storage.seal_s == 2
