"""docs/compose.yaml and docs/clusters.md: what they ask of PostgreSQL and MLflow exists, and is closed unless opened."""

from __future__ import annotations

import re
import shlex
from typing import Any

import yaml

from bench.tracking.store import patience
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "clusters.md").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def environment(service: str) -> dict[str, str]:
    return SERVICES[service]["environment"]


def test_it_listens_on_loopback_unless_told_otherwise() -> None:
    ports = [port for service in SERVICES.values() for port in service["ports"]]
    assert len(ports) == 2 and all(port.startswith("${BENCH_LISTEN:-127.0.0.1}:") for port in ports)


def test_the_password_comes_from_the_environment_and_is_required() -> None:
    asked = "${POSTGRES_PASSWORD:?"
    assert environment("postgres")["POSTGRES_PASSWORD"].startswith(asked)
    assert environment("mlflow")["PGPASSWORD"].startswith(asked)
    text = (ROOT / "docs" / "compose.yaml").read_text()
    assert not re.search(r"://[^/\s]*:[^/\s]*@", text), "a password in an address"


def test_both_say_when_they_are_ready_and_keep_what_they_are_given() -> None:
    assert all("test" in service["healthcheck"] for service in SERVICES.values())
    assert SERVICES["mlflow"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    kept = {volume.split(":")[0] for service in SERVICES.values() for volume in service["volumes"]}
    assert kept == set(COMPOSE["volumes"])
    assert all(service["restart"] == "unless-stopped" for service in SERVICES.values())


def test_mlflow_and_optuna_have_a_database_each() -> None:
    database = environment("postgres")["POSTGRES_DB"]
    user = environment("postgres")["POSTGRES_USER"]
    assert (
        environment("mlflow")["MLFLOW_BACKEND_STORE_URI"]
        == f"postgresql+psycopg://{user}@postgres:5432/{database}"
    )
    (source,) = SERVICES["postgres"]["configs"]
    created = COMPOSE["configs"][source["source"]]["content"]
    assert re.fullmatch(r"CREATE DATABASE (\w+);", created) and database not in created
    assert source["target"].startswith("/docker-entrypoint-initdb.d/") and source["target"].endswith(".sql")


def test_the_image_is_built_of_the_versions_that_are_pinned() -> None:
    build = SERVICES["mlflow"]["build"]
    context = (ROOT / "docs" / build["context"]).resolve()
    (copied,) = re.findall(r"COPY (\S+)", build["dockerfile_inline"])
    pinned = (context / copied).read_text()
    assert all(f"\n{name}==" in f"\n{pinned}" for name in ("mlflow", "psycopg-binary"))


def test_mlflow_knows_the_options_of_both_command_lines() -> None:
    from mlflow import environment_variables
    from mlflow.cli import cli

    known = {name for option in cli.commands["server"].params for name in option.opts}
    lines = [line for line in PAGE.splitlines() if "mlflow server -" in line] + [
        SERVICES["mlflow"]["command"]
    ]
    used = {word for line in lines for word in shlex.split(line) if word.startswith("--")}
    assert len(lines) == 2 and {"--artifacts-destination", "--workers"} <= used <= known
    assert "--app-name" in known
    variables = set(re.findall(r"\bMLFLOW_\w+", PAGE)) | {
        key for key in environment("mlflow") if key.startswith("MLFLOW")
    }
    of_its_command_line = {option.envvar for option in cli.commands["server"].params}
    of_its_plugin = {
        "MLFLOW_FLASK_SERVER_SECRET_KEY",
        "MLFLOW_DISABLE_TELEMETRY",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION",
    }
    assert variables <= set(vars(environment_variables)) | of_its_command_line | of_its_plugin


def test_the_page_says_what_the_code_does() -> None:
    text = " ".join(PAGE.split())
    assert f"`{patience.VARIABLE}` seconds, {patience.SECONDS:.0f} by default" in text
    assert f"{patience.FIRST:g}, {2 * patience.FIRST:g}, 1 ... {patience.LONGEST:.0f} s" in text
    source = (ROOT / "bench" / "tracking" / "store" / "client.py").read_text()
    set_by_us = dict(re.findall(r'setdefault\("(\w+)", "(\w+)"\)', source))
    assert f"`MLFLOW_HTTP_REQUEST_MAX_RETRIES={set_by_us['MLFLOW_HTTP_REQUEST_MAX_RETRIES']}`" in text
    assert (
        f"given up after {set_by_us['MLFLOW_HTTP_REQUEST_TIMEOUT']} s (`MLFLOW_HTTP_REQUEST_TIMEOUT`)" in text
    )
