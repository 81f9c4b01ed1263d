"""Reports failures by the command or webhook that CRIA_ON_FAILURE names; without it, nothing is sent.

A command gets the message on its standard input (`mail -s "Cria" team@example.org`), a webhook as the JSON object
`{"text": …}`, which Slack and Mattermost accept. A webhook's address is a secret, so no message contains it.
"""

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping

import dagster as dg
from dagster._core.execution.plan.objects import StepFailureData

VARIABLE = "CRIA_ON_FAILURE"
TIMEOUT_S = 60
MOST_CHARACTERS = 500  # per stage in a message


class AlertError(Exception):
    """The message was not delivered."""


def configured() -> bool:
    return bool(os.environ.get(VARIABLE))


def send(text: str) -> None:
    """Delivers a message. Raises AlertError if the command fails or the webhook does not accept it."""
    where = os.environ[VARIABLE]
    if where.startswith(("http://", "https://")):
        _post(where, text)
        return
    try:
        done = subprocess.run(["/bin/sh", "-c", where], input=text, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise AlertError(f"the command of {VARIABLE} did not end within {TIMEOUT_S} s") from None
    if done.returncode:
        raise AlertError(f"the command of {VARIABLE} ended with {done.returncode}: {done.stderr.strip()[-500:]}")


def _post(address: str, text: str) -> None:
    try:
        request = urllib.request.Request(
            address, json.dumps({"text": text}).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=TIMEOUT_S).close()
    except urllib.error.HTTPError as error:
        raise AlertError(f"the webhook of {VARIABLE} answered {error.code}") from None
    except (OSError, ValueError) as error:  # some of their texts contain the address
        raise AlertError(f"the webhook of {VARIABLE} cannot be reached ({type(error).__name__})") from None


def cause(failure: StepFailureData, whole: bool = False) -> str:
    """Returns the cause of a failure: its own description, else the innermost error, with its stack if `whole`."""
    if failure.user_failure_data and failure.user_failure_data.description:
        return failure.user_failure_data.description
    error = failure.error
    while error is not None and error.cause is not None:
        error = error.cause
    if error is None:
        return "unknown error"
    return error.to_string() if whole else error.message.strip()


def message(run: dg.DagsterRun, failed: Mapping[str, StepFailureData], otherwise: str = "") -> str:
    """Returns the message text: which run failed, at which steps and why; `otherwise` if no step failed."""
    partition = run.tags.get("dagster/partition")
    about = f"{run.job_name}, {partition}" if partition else run.job_name
    steps: dict[str, list[str]] = {}  # by cause, as several steps may share one
    for step, failure in failed.items():
        steps.setdefault(cause(failure)[:MOST_CHARACTERS], []).append(step)
    causes = [f"{', '.join(names)}: {why}" for why, names in steps.items()] or [otherwise]
    return "\n".join([f"Cria: run {run.run_id} ({about}) failed.", *causes])


@dg.run_failure_sensor(
    name="failures",
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING if configured() else dg.DefaultSensorStatus.STOPPED,
    description=f"Reports failed runs by the command or webhook that {VARIABLE} names. Sends nothing until it is set.",
)
def failures(context: dg.RunFailureSensorContext):
    """Reports a failed run, unless Dagster retries it."""
    run = context.dagster_run
    if not configured():
        return dg.SkipReason(f"{VARIABLE} is not set")
    if run.tags.get("dagster/will_retry") == "true":
        return dg.SkipReason(f"run {run.run_id} is started again")
    failed = {event.step_key: event.step_failure_data for event in context.get_step_failure_events()}
    send(message(run, failed, context.failure_event.message or ""))
    return None
