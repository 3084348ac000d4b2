"""MLLP senders of another make, out of npm: `simple-hl7` and `node-hl7-client`."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_coder.delivery.database import open_database
from fhir_coder.delivery.inbox import Coded, Inbox
from tests.integration.test_mllp import listening, message

PACKAGES = {"simple-hl7": "3.3.0", "node-hl7-client": "3.2.0"}
_CACHE = Path(__file__).resolve().parents[2] / "build" / "peers" / "mllp-node"
NUMBER = 20

# Each sends the messages one after the other, over one connection, and prints MSA-1 and MSA-2 of the answers.
SENDERS = {
    "simple-hl7": """
const hl7 = require('simple-hl7');
const client = hl7.Server.createTcpClient({host: '127.0.0.1', port, keepalive: true});
const next = (at) => {
  if (at === messages.length) { client.close(); return; }
  client.send(new hl7.Parser({segmentSeperator: '\\r'}).parse(messages[at]), (error, ack) => {
    if (error) throw error;
    console.log(ack.getSegment('MSA').getField(1) + ' ' + ack.getSegment('MSA').getField(2));
    setImmediate(() => next(at + 1));
  });
};
client.connect((error) => { if (error) throw error; next(0); });
""",
    "node-hl7-client": """
const {Client, Message} = require('node-hl7-client');
const client = new Client({host: '127.0.0.1'});
let at = 0;
const connection = client.createConnection({port}, (answer) => {
  const ack = answer.getMessage();
  console.log(ack.get('MSA.1').toString() + ' ' + ack.get('MSA.2').toString());
  at += 1;
  if (at === messages.length) { connection.close().then(() => process.exit(0)); return; }
  setImmediate(send);
});
const send = () => connection.sendMessage(new Message({text: messages[at]}));
connection.on('client.error', (error) => { throw error; });
send();
""",
}


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    engine = open_database(tmp_path)
    opened = Inbox(engine)
    yield opened
    opened.close()
    engine.dispose()


@pytest.fixture(scope="module")
def packages() -> Path:
    """The folder in which the packages are installed."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm, which run these senders, are not installed")
    _CACHE.mkdir(parents=True, exist_ok=True)
    (_CACHE / "package.json").write_text(json.dumps({"private": True, "dependencies": PACKAGES}))
    if not (_CACHE / "node_modules" / ".package-lock.json").is_file():  # npm writes it last
        call = ["npm", "install", "--no-audit", "--no-fund"]
        if subprocess.run(call, cwd=_CACHE, capture_output=True).returncode:
            pytest.skip("simple-hl7 and node-hl7-client cannot be installed here (npm)")
    return _CACHE


@pytest.mark.parametrize("name", SENDERS)
def test_a_sender_of_another_make(inbox: Inbox, packages: Path, name: str) -> None:
    """Its messages are stored, and it understands the answers."""
    words = [f"Pt {number} has HTN, Größe 1,70 m." for number in range(NUMBER)]
    messages = [
        message(number, text).replace(b"|2.5.1", b"|2.5.1||||||UNICODE UTF-8").decode().removesuffix("\r")
        for number, text in enumerate(words)
    ]

    async def run() -> subprocess.CompletedProcess[str]:
        async with listening(inbox) as port:
            script = f"const port = {port}, messages = {json.dumps(messages)};{SENDERS[name]}"
            call = ["node", "--eval", script]
            return await asyncio.to_thread(
                subprocess.run, call, cwd=packages, capture_output=True, text=True, timeout=60
            )

    done = asyncio.run(run())
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:NUMBER] == [f"AA M{number}" for number in range(NUMBER)], done.stdout + done.stderr
    stored = []
    while (item := inbox.take()) is not None:
        stored.append(item.payload)
        inbox.coded(item, Coded())
    assert len(stored) == NUMBER
    assert all(text.encode() in raw for text, raw in zip(words, stored, strict=True))
