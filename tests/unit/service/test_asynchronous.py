"""`$code-note` with `Prefer: respond-async`: accepted, polled, answered, cancelled, and nothing lost by a restart."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from sqlalchemy import Engine

from fhir_coder.delivery.database import open_database
from fhir_coder.errors import CodingStoppedError, InputError, QueueFullError
from fhir_coder.service.job_runner import JobRunner
from fhir_coder.service.jobs import Job, Jobs

ASYNC = {"Prefer": "respond-async"}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": "text", "valueString": words}, *more.values()]}


PERSIST = {"name": "persist", "valueBoolean": True}


def answered(client: Any, job: str) -> Any:
    deadline = time.monotonic() + 20
    while (response := client.get(job)).status_code == 202 and time.monotonic() < deadline:
        assert response.json()["issue"][0]["severity"] == "information"
        assert response.headers["x-progress"]
        assert int(response.headers["retry-after"]) > 0
        time.sleep(0.02)
    return response


def untimed(bundle: str) -> str:
    """The Bundle without the time of its coding: two codings of one note may stand on two sides of a second."""
    return re.sub(r'"recorded(Date)?":"[^"]+"', "", bundle)


@pytest.mark.parametrize("prefer", ["respond-async", "return=minimal, Respond-Async; x=1", "respond-async,wait=10"])
def test_an_asynchronous_call(serve: Any, prefer: str) -> None:
    with serve().client as client:
        accepted = client.post("/fhir/$code-note", json=text("HTN"), headers={"Prefer": prefer})
        assert accepted.status_code == 202
        job = accepted.headers["content-location"]
        assert job.startswith("http://testserver/fhir/jobs/")
        assert len(job.rpartition("/")[2]) == 43
        response = answered(client, job)
        assert response.status_code == 200
        assert response.headers["expires"].endswith("GMT")
        assert untimed(response.text) == untimed(client.post("/fhir/$code-note", json=text("HTN")).text)
        assert client.delete(job).status_code == 202
        assert [client.request(method, job).status_code for method in ("GET", "DELETE")] == [404, 404]


@pytest.mark.parametrize("prefer", ["return=minimal", "return=representation", "return=OperationOutcome", "wait=5", ""])
def test_other_preferences_change_nothing(serve: Any, prefer: str) -> None:
    assert serve().client.post("/fhir/$code-note", json=text("HTN"), headers={"Prefer": prefer}).status_code == 200


def test_what_is_wrong_with_a_call_is_said_at_once(serve: Any) -> None:
    with serve().client as client:
        for body, status in ((text(" "), 422), ({}, 400), (text("HTN", persist=PERSIST), 422)):
            assert client.post("/fhir/$code-note", json=body, headers=ASYNC).status_code == status


def test_a_call_that_fails_later_answers_with_the_reason(serve: Any) -> None:
    with serve().client as client:
        job = client.post("/fhir/$code-note", json=text("Zebrafinch CRASH"), headers=ASYNC).headers["content-location"]
        response = answered(client, job)
        assert response.status_code == 500
        assert response.json()["resourceType"] == "OperationOutcome"
        assert "Zebrafinch" not in response.text


def test_the_address_that_a_proxy_has(serve: Any) -> None:
    with serve(base_url="https://coder.example.org/notes/").client as client:
        accepted = client.post("/fhir/$code-note", json=text("HTN"), headers=ASYNC)
        assert accepted.headers["content-location"].startswith("https://coder.example.org/notes/fhir/jobs/")
        assert client.get("/fhir/metadata").json()["implementation"]["url"] == "https://coder.example.org/notes/fhir"


def test_a_cancelled_call_is_not_written(serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = serve(out=tmp_path / "out")
    coding, cancelled = threading.Event(), threading.Event()
    code = service.desk.code

    def slow(*given: Any) -> Any:
        coding.set()
        assert cancelled.wait(20)
        return code(*given)

    monkeypatch.setattr(service.desk, "code", slow)
    with service.client as client:
        job = client.post("/fhir/$code-note", json=text("HTN", persist=PERSIST), headers=ASYNC).headers[
            "content-location"
        ]
        assert coding.wait(20)
        assert client.get(job).headers["x-progress"] == "coding"
        waiting = client.post("/fhir/$code-note", json=text("HTN"), headers=ASYNC).headers["content-location"]
        assert client.get(waiting).headers["x-progress"] == "0 before it"
        assert client.delete(job).status_code == 202
        cancelled.set()
        assert answered(client, waiting).status_code == 200
        assert client.get(job).status_code == 404
    assert list((tmp_path / "out").glob("*.ndjson")) == []


def test_an_asynchronous_call_that_is_written(serve: Any, tmp_path: Path) -> None:
    service = serve(out=tmp_path / "out")
    with service.client as client:
        job = client.post("/fhir/$code-note", json=text("HTN", persist=PERSIST), headers=ASYNC).headers[
            "content-location"
        ]
        assert answered(client, job).status_code == 200
    service.desk.close()
    assert (tmp_path / "out" / "Condition.ndjson").is_file()


def test_the_number_of_calls_is_bounded(serve: Any) -> None:
    with serve(async_calls=2).client as client:
        jobs = [client.post("/fhir/$code-note", json=text("HTN"), headers=ASYNC) for _ in range(3)]
        assert [job.status_code for job in jobs] == [202, 202, 503]
        assert jobs[2].headers["retry-after"]
        assert jobs[2].json()["issue"][0]["code"] == "throttled"
        client.delete(jobs[0].headers["content-location"])
        assert client.post("/fhir/$code-note", json=text("HTN"), headers=ASYNC).status_code == 202


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A database."""
    opened = open_database(tmp_path)
    yield opened
    opened.dispose()


@pytest.fixture
def jobs(engine: Engine) -> Jobs:
    """A table for three jobs."""
    table = Jobs(engine, most=3, hours=1)
    table.open()
    return table


def run(jobs: Jobs, answer: Any, job: str) -> Any:
    runner = JobRunner(jobs, answer)
    runner.start()
    deadline = time.monotonic() + 20
    while (state := jobs.find("me", job)) is not None and state.state != "answered" and time.monotonic() < deadline:
        time.sleep(0.01)
    runner.stop(10)
    return state


def test_a_job_survives_a_restart(jobs: Jobs, engine: Engine) -> None:
    job = jobs.add("me", b"request")
    assert jobs.take() is not None  # and the service is killed
    assert jobs.take() is None
    again = Jobs(engine, most=3, hours=1)
    again.open()
    state = run(again, lambda job: job.request, job)
    assert (state.status, state.answer) == (200, b"request")


def test_a_job_that_ends_the_service_three_times_is_given_up(jobs: Jobs, engine: Engine) -> None:
    job = jobs.add("me", b"poison")
    for _ in range(3):
        assert jobs.take() is not None
        jobs.open()
    state = run(jobs, lambda _: pytest.fail("it is not tried again"), job)
    assert state.status == 500
    assert b"three times" in state.answer


def test_a_service_that_ends_leaves_the_job_for_the_next(jobs: Jobs) -> None:
    def stopped(job: Job) -> bytes:
        raise CodingStoppedError("the service ends")

    job = jobs.add("me", b"request")
    runner = JobRunner(jobs, stopped)
    runner.start()
    deadline = time.monotonic() + 20
    while runner.runs and time.monotonic() < deadline:
        time.sleep(0.01)
    assert run(jobs, lambda _: b"answer", job).answer == b"answer"


def test_an_input_that_is_refused_later(jobs: Jobs) -> None:
    def refused(job: Job) -> bytes:
        raise InputError("not so", place="a.b", code="value")

    state = run(jobs, refused, jobs.add("me", b"request"))
    assert (state.status, b"a.b" in state.answer) == (500, True)


def test_jobs_expire(jobs: Jobs) -> None:
    with time_machine.travel(0, tick=False) as clock:
        job = jobs.add("me", b"request")
        clock.shift(timedelta(minutes=59))
        assert jobs.find("me", job) is not None
        clock.shift(timedelta(minutes=2))
        assert jobs.find("me", job) is None
        assert not jobs.remove("me", job)
        assert jobs.take() is None
        for _ in range(3):  # the expired one makes room
            jobs.add("me", b"request")
        with pytest.raises(QueueFullError):
            jobs.add("me", b"request")


def test_jobs_of_others_are_none(jobs: Jobs) -> None:
    job = jobs.add("me", b"request")
    assert jobs.find("you", job) is None
    assert not jobs.remove("you", job)
    assert jobs.find("me", job[:-1]) is None
    assert jobs.find("me", job) is not None
