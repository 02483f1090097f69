"""Two ICE agents that may use nothing but the relay find each other through it and exchange data both ways.

usage: aioice_pair.py HOST PORT USERNAME PASSWORD MESSAGES TRANSPORT

Prints one line of JSON: each agent's candidate types and selected addresses, and how many messages arrived unchanged.
"""

import asyncio
import json
import sys

import aioice
from aioice.ice import TransportPolicy

DEADLINE = 20


async def main(host: str, port: str, username: str, password: str, messages: str, transport: str) -> None:
    agents = [
        aioice.Connection(
            ice_controlling=controlling,
            turn_server=(host, int(port)),
            turn_username=username,
            turn_password=password,
            turn_transport="udp" if transport == "udp" else "tcp",
            turn_ssl=transport == "tls",
            transport_policy=TransportPolicy.RELAY,
        )
        for controlling in (True, False)
    ]
    await asyncio.gather(*(agent.gather_candidates() for agent in agents))
    candidates = [[candidate.type for candidate in agent.local_candidates] for agent in agents]
    result = {"candidates": candidates}
    if all(candidates):
        await connect(*agents)
        result["selected"] = [selected(agent) for agent in agents]
        alice, bob = agents
        result["to_bob"] = await exchange(alice, bob, int(messages))
        result["to_alice"] = await exchange(bob, alice, int(messages))
    await asyncio.gather(*(agent.close() for agent in agents))
    print(json.dumps(result))


async def connect(alice: aioice.Connection, bob: aioice.Connection) -> None:
    """Hands each the other's description, as signalling would, and lets them check their candidates."""
    for here, there in ((alice, bob), (bob, alice)):
        here.remote_username = there.local_username
        here.remote_password = there.local_password
        for candidate in there.local_candidates:
            await here.add_remote_candidate(candidate)
        await here.add_remote_candidate(None)
    await asyncio.gather(alice.connect(), bob.connect())


def selected(agent: aioice.Connection) -> dict[str, list]:
    """Where the pair that data takes begins and ends: a relayed address each."""
    pair = agent._nominated[1]  # there is no public way to it
    return {
        "local": [pair.local_candidate.type, *pair.local_addr],
        "remote": [pair.remote_candidate.type, *pair.remote_addr],
    }


async def exchange(sender: aioice.Connection, receiver: aioice.Connection, messages: int) -> int:
    """Sends messages of every padding; counts those that arrive as they were sent."""
    intact = 0
    for number in range(messages):
        message = bytes([number % 256]) * (1 + number % 1200)
        await sender.send(message)
        intact += await receiver.recv() == message
    return intact


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), DEADLINE))
