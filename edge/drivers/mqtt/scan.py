"""Listens to a broker for a while, to propose what is there: what `anju mqtt discover` does. Publishes nothing."""

import asyncio
import secrets
from collections.abc import Mapping
from typing import Final

from contract.clock import mono_ns
from contract.errors import AnjuError
from contract.profile import MqttProfile
from contract.site import MqttBus
from edge.drivers.mqtt.config import Limits
from edge.drivers.mqtt.discovery import MAX_ENTITIES, Proposal, propose
from edge.drivers.mqtt.inbox import Inbox
from edge.drivers.mqtt.topics import Subscriptions
from edge.drivers.mqtt.wire import Lost, connect

PREFIX: Final = "homeassistant"
_S = 1_000_000_000
_AT_ONCE = 64


async def discover(
    bus: MqttBus, profiles: Mapping[str, MqttProfile], *, seconds: float = 5.0, prefix: str = PREFIX
) -> list[Proposal]:
    """The devices announced at a bus's broker that the bus does not have yet. Raises AnjuError where it is not there.

    Announcements are kept by the broker, so a few seconds suffice; it connects under a name of its own, beside the box.
    """
    topics = Subscriptions()
    filters = [f"{prefix}/+/+/config", f"{prefix}/+/+/+/config"]
    for topic in filters:
        topics.add(topic)
    inbox = Inbox(topics.find, Limits(messages=MAX_ENTITIES))
    configs: dict[str, bytes] = {}
    name = f"anju-scan-{secrets.token_hex(4)}"
    try:
        async with connect(bus, name, None, inbox, timeout_s=max(5.0, seconds)) as session:
            refused = await session.subscribe(filters)
            if len(refused) == len(filters):
                raise AnjuError(f"the broker does not let {bus.user or 'anonymous clients'} read {filters[0]}")
            until_ns = mono_ns() + round(seconds * _S)
            while (left_ns := until_ns - mono_ns()) > 0 and not session.lost:
                inbox.wake.clear()
                for message in inbox.take(_AT_ONCE):
                    if message.topic in configs or len(configs) < MAX_ENTITIES:
                        configs[message.topic] = message.payload
                if not len(inbox):
                    try:
                        async with asyncio.timeout(left_ns / _S):
                            await inbox.wake.wait()
                    except TimeoutError:
                        break
                await asyncio.sleep(0)
    except Lost as e:
        raise AnjuError(f"it cannot be asked: {e}") from e
    return propose(configs.items(), profiles, {device.address for device in bus.devices})
