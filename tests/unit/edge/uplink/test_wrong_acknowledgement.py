"""A cloud that acknowledges another block than ours, as a second box brought it: found at once, and nothing is lost."""

from contract.kinds import Lane
from contract.session import Cursor
from tests.support.fake_cloud import FakeCloud
from tests.unit.edge.uplink.test_uplink import box, delivered, fill, words


class ForkedCloud(FakeCloud):
    """Has, once, another block in the place of the last that it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.forks = 0

    def _take(self, gateway, lane, blocks):
        answer = super()._take(gateway, lane, blocks)
        stream = gateway.stream(lane)
        if lane is Lane.URGENT and stream.cursor.number > 2 and not self.forks:
            self.forks += 1
            at = stream.cursor
            stream.cursor = Cursor(at.epoch, at.number, at.checksum ^ 1)
            return super()._take(gateway, lane, [])
        return answer


async def test_an_acknowledgement_of_another_block_opens_a_new_epoch(tmp_path):
    async with ForkedCloud() as cloud, box(tmp_path / "box", cloud) as outbox:
        epoch = outbox.head(Lane.URGENT).epoch
        await fill(outbox, 0, 5)
        await delivered(outbox)
        assert cloud.forks == 1
        assert outbox.head(Lane.URGENT).epoch != epoch
        assert words(cloud) == sorted(set(words(cloud)))
        assert len(words(cloud)) == 5
