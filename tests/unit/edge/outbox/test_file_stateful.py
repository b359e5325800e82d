"""Whatever happens to a stream's file, everything is delivered exactly once or declared lost, in an unbroken chain."""

import random
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contract.columns import Row
from contract.kinds import Lane
from contract.messages import Event, Quality
from contract.records import InventoryRecord, LossReceipt
from edge.outbox.file import StreamFile
from edge.outbox.room import Room
from tests.support.reference_stream import ReferenceStream, Refused
from tests.unit.edge.outbox.examples import INVENTORY, Ticking

QUOTA_BYTES = 80 << 10
"""Of which an empty file takes some 45 kB."""


class FileMachine(RuleBasedStateMachine):
    """Seals, delivers, acknowledges, crashes, damages and overflows, against the reference of the cloud."""

    stream: Lane

    @initialize()
    def start(self):
        self.folder = Path(tempfile.mkdtemp())
        self.now, self.boot, self.next = Ticking(), 1, 0
        self.cloud = ReferenceStream(self.stream)
        self.put: list[int] = []
        self.lost_items = 0
        self.unacknowledged = False
        self.open()

    def open(self):
        self.file = StreamFile(
            self.folder / "stream.db", self.stream, quota_bytes=QUOTA_BYTES, boot=self.boot.to_bytes(16, "little"),
            inventory=INVENTORY, now_ns=self.now, room=Room(self.folder, 1 << 20, lambda _: (1 << 40, 1 << 40)),
        )  # fmt: skip
        self.file.open()

    def teardown(self):
        if hasattr(self, "file"):
            self.drain()
            self.check_everything()
            self.file.close()
            shutil.rmtree(self.folder)

    @rule(count=st.integers(1, 40), size=st.sampled_from([0, 300]))
    def seal(self, count, size):
        ids = list(range(self.next, self.next + count))
        self.next += count
        self.put += ids
        noise = random.Random(self.next)  # what does not compress
        if self.stream is Lane.BULK:
            now = self.now()
            times = [now + noise.randrange(2**31) * 1_000_000 * bool(size) for _ in ids]
            self.file.append_rows([Row(2, at, float(n), Quality.GOOD) for n, at in zip(ids, times, strict=True)])
        else:
            texts = [noise.randbytes(size // 2).hex() for _ in ids]
            records = [Event("smoke-1", "pressed", {"n": n, "text": t}, 1) for n, t in zip(ids, texts, strict=True)]
            self.file.append_records(records)

    @rule()
    def overflow(self):
        """Seals until the oldest blocks must go."""
        for _ in range(1_000):
            tail = self.file.chain.tail_seq
            self.seal(1_000 if self.stream is Lane.BULK else 40, 300)
            if self.file.chain.tail_seq > tail:
                assert self.file.undeclared
                return
        raise AssertionError("the quota was never reached")

    @rule()
    def settle(self):
        self.file.settle()

    @rule(max_bytes=st.sampled_from([1, 2_000, 1 << 20]), heard=st.booleans())
    def send(self, max_bytes, heard):
        self.deliver(max_bytes)
        if heard:
            self.file.acknowledge(self.cloud.cursor)

    def deliver(self, max_bytes):
        """One request. What refuses it is answered as the uplink does."""
        self.declare()
        for block in self.file.peek(max_bytes):
            try:
                self.cloud.take(block)
            except Refused:
                if self.cloud.cursor.epoch != self.file.chain.epoch:
                    self.file.open_epoch()
                else:
                    known = self.file.checksum_at(self.cloud.cursor.number)
                    if known == self.cloud.cursor.checksum:
                        self.file.acknowledge(self.cloud.cursor)
                    else:
                        self.file.open_epoch()
                return

    def declare(self):
        for loss_id, loss in self.file.losses():
            self.lost_items += loss.items
            if self.stream is Lane.BULK:
                self.cloud.pass_over(
                    LossReceipt(loss.stream, loss.epoch, loss.first, loss.last, loss.checksum, loss.items, "", 0)
                )
            self.file.declared(loss_id)

    @rule()
    def acknowledge_again(self):
        self.file.acknowledge(self.cloud.cursor)

    @rule()
    def open_epoch(self):
        self.file.open_epoch()

    @rule(reboot=st.booleans())
    def crash(self, reboot):
        """As after kill -9: what was committed is in the files, nothing was closed."""
        folder = Path(tempfile.mkdtemp())
        for path in self.folder.iterdir():
            shutil.copy(path, folder)
        self.file.close()
        shutil.rmtree(self.folder)
        self.folder = folder
        self.boot += reboot
        self.open()

    @precondition(lambda self: self.file.chain.pending > 0)
    @rule(data=st.data())
    def damage(self, data):
        seqs = [row[0] for row in self.file.db.execute("SELECT seq FROM blocks")]
        seq = data.draw(st.sampled_from(seqs))
        # Whatever the block held is lost; the reference learns from the declared loss how much.
        (block,) = self.file.db.execute("SELECT bytes FROM blocks WHERE seq = ?", (seq,)).fetchone()
        block = block[:90] + bytes([block[90] ^ 1]) + block[91:]
        self.file.db.execute("UPDATE blocks SET bytes = ? WHERE seq = ?", (block, seq))

    @invariant()
    def stays_within_quota(self):
        if hasattr(self, "file"):
            assert self.file.used_bytes <= QUOTA_BYTES + (64 << 10)

    def drain(self):
        for _ in range(10_000):
            self.deliver(1 << 20)
            self.file.acknowledge(self.cloud.cursor)
            self.declare()
            if not self.file.chain.pending:
                return
        raise AssertionError("the stream does not drain")

    def check_everything(self):
        if self.stream is Lane.BULK:
            got = [int(item.value) for item in self.cloud.items]
            # Rows of one series keep the order in which they were put.
            assert got == sorted(got)
            inventories = 0
        else:
            events = [item for item in self.cloud.items if isinstance(item, Event)]
            inventories = sum(isinstance(item, InventoryRecord) for item in self.cloud.items)
            got = [item.fields["n"] for item in events]
            assert len(events) + inventories == len(self.cloud.items)
        assert len(set(got)) == len(got), "delivered twice"
        missing = set(self.put) - set(got)
        assert set(got) <= set(self.put)
        # What was given up may have been delivered already, or have been an inventory; nothing else may be missing.
        assert len(missing) <= self.lost_items
        if not self.lost_items:
            assert not missing
        for before, after in zip(self.cloud.blocks, self.cloud.blocks[1:], strict=False):
            if before.header.boot == after.header.boot:
                assert before.header.sealed_ns < after.header.sealed_ns


class BulkMachine(FileMachine):
    stream = Lane.BULK


class UrgentMachine(FileMachine):
    stream = Lane.URGENT


_settings = settings(
    max_examples=20, stateful_step_count=20, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip
TestBulk = BulkMachine.TestCase
TestBulk.settings = _settings
TestUrgent = UrgentMachine.TestCase
TestUrgent.settings = _settings
