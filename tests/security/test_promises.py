"""What SECURITY.md promises of study files, pickles, paths and servers. Planted code would leave a file behind."""

from __future__ import annotations

import dataclasses
import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from bench.cli import main as cli
from bench.core.errors import UserError
from bench.core.secrets import refuse_unasked_server
from bench.core.spec import BackboneSpec, DatasetSpec, TrainSpec
from bench.data.registry import find
from bench.planning import load as loading
from bench.planning import plan as planning
from bench.planning.searches import Budget, Method
from bench.storage import locks as lock
from bench.storage.places import store_uri
from bench.tracking import server
from bench.tuning import plain_pickle
from tests.conftest import TINY_STUDY
from tests.support.tuning_samples import make_tuning, open_search

FIELDS = yaml.safe_load(TINY_STUDY)


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """What planted code would make."""
    return tmp_path / "sprung"


def plan(folder: Path, text: str, *overrides: str) -> planning.Plan:
    path = folder / "study.yaml"
    path.write_text(text)
    return planning.make(loading.load(path, overrides), path, folder / "cache")


# study files are data

TAGS = [
    "!!python/object/apply:os.mkdir [TRAP]",
    "!!python/object/new:os.mkdir [TRAP]",
    "!!python/object/apply:subprocess.check_call [[mkdir, TRAP]]",
    "!!python/name:os.mkdir",
    "!!python/module:os",
]


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("where", ["file", "--set"])
def test_yaml_tags_make_no_objects(tmp_path: Path, trap: Path, tag: str, where: str) -> None:
    value = tag.replace("TRAP", str(trap))
    text = f"{TINY_STUDY}\nquestion: {value}\n" if where == "file" else TINY_STUDY
    with pytest.raises(UserError):
        plan(tmp_path, text, *([f"question={value}"] if where == "--set" else []))
    assert not trap.exists()


@pytest.mark.parametrize(
    "name", ["trap:Spring", "trap.Spring", "trap", "os:mkdir", "../trap.py", "local-dir:."]
)
@pytest.mark.parametrize(
    "field",
    [
        "backbones.0.name",
        "datasets.0.name",
        "strategies.0",
        "teachers",
        "backbones.0.source.name",
        "matrix.baseline",
    ],
)
def test_no_field_names_code(
    tmp_path: Path, trap: Path, monkeypatch: pytest.MonkeyPatch, field: str, name: str
) -> None:
    """There is no plugin mechanism: a module that lies beside the study, and could be imported, is not."""
    (tmp_path / "trap.py").write_text(f"import os\nos.mkdir({str(trap)!r})\nSpring = print\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    value = f"[{{name: {name!r}, random: true}}]" if field == "teachers" else repr(name)
    with pytest.raises(UserError):
        plan(tmp_path, TINY_STUDY, f"{field}={value}")
    assert not trap.exists()


@pytest.mark.parametrize("name", ["trap:Spring", "trap.Spring", "os.mkdir", "__class__", "__loader__"])
def test_optimizers_samplers_and_pruners_are_looked_up_not_imported(name: str) -> None:
    from bench.methods.api import Group, Phase
    from bench.training.optimizers import make_optimizer
    from bench.tuning import engine

    phase = Phase("p", 1, [Group([torch.nn.Parameter(torch.zeros(1))], 1.0)])
    with pytest.raises(UserError, match="unknown optimizer"):
        make_optimizer(phase, TrainSpec(optimizer=name))
    for method in (Method(sampler=name, sampler_options={"name": "x"}), Method(pruner=name)):
        with pytest.raises(UserError, match="Optuna has no"):
            engine.check(make_tuning(method=method))


@pytest.mark.parametrize("key", ["checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"])
def test_arguments_of_a_network_name_no_files(key: str) -> None:
    from bench.models.build import build

    with pytest.raises(UserError, match="must not contain"):
        build(BackboneSpec("test_resnet", "random", kwargs={key: "/tmp/x"}), 2)


def test_templates_do_not_run_what_a_study_says() -> None:
    from reports.render import text

    assert (
        text.escape("{{ 7 * 7 }}") == r"\{\{ 7 \* 7 \}\}"
    )  # and jinja2 gets it as a value, never as a template


# pickles


@pytest.mark.parametrize("names", ["tag", "url"])
def test_published_weights_are_loaded_as_weights_alone(
    tmp_path: Path, trap: Path, monkeypatch: pytest.MonkeyPatch, names: str
) -> None:
    """Where timm fetches a .pth, whoever published it cannot run code here."""
    from timm.models import _registry

    from bench.models.build import build

    torch.save({"state_dict": Bomb(trap)}, tmp_path / "weights.pth")
    config = _registry._model_pretrained_cfgs["test_resnet.r160_in1k"]
    where = (
        {"file": str(tmp_path / "weights.pth")}
        if names == "tag"
        else {"url": (tmp_path / "weights.pth").as_uri()}
    )
    changed = dataclasses.replace(config, hf_hub_id=None, **where)
    for name in ("test_resnet.r160_in1k", "test_resnet"):
        monkeypatch.setitem(_registry._model_pretrained_cfgs, name, changed)
    default = _registry._model_default_cfgs["test_resnet"]
    monkeypatch.setitem(default.cfgs, "r160_in1k", changed)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    with pytest.raises(UserError, match=r"could not be fetched.*(?i:weights.only|allowlisted)"):
        build(BackboneSpec("test_resnet.r160_in1k", "pretrained"), 2)
    assert not trap.exists()


def test_arrays_in_the_cache_are_not_unpickled(tmp_path: Path, trap: Path) -> None:
    from bench.data.prepare import load_test
    from bench.training.cached_features.store import _read

    planted = np.array([Bomb(trap)], dtype=object)
    for name in ("test.npy", "test_labels.npy", "rows.npy"):
        np.save(tmp_path / name, planted, allow_pickle=True)
    (tmp_path / "meta.json").write_text('{"dtype": "float32", "seconds": 1}')
    with pytest.raises(ValueError, match="object"):
        load_test(tmp_path)
    assert _read(tmp_path) is None and not trap.exists()


def test_the_state_of_a_sampler_is_read_as_optuna_does(tmp_path: Path) -> None:
    import optuna

    search = open_search(make_tuning(Budget("trials", 15), Method(sampler="cmaes")), tmp_path)
    while trial := search.ask():
        search.tell(trial, "complete", -abs(trial.params["full.lr"] - 0.01), 1.0, 1.0, 1.0, 1000)
    ours = search.study.sampler._restore_optimizer(search.counted)
    theirs = optuna.samplers.CmaEsSampler._restore_optimizer(search.study.sampler, search.counted)
    assert type(search.study.sampler) is not optuna.samplers.CmaEsSampler
    assert ours.generation == theirs.generation > 0 and np.array_equal(ours.mean, theirs.mean)


def test_a_pickle_that_someone_put_into_the_storage_of_searches_does_not_run(
    tmp_path: Path, trap: Path
) -> None:
    search = open_search(make_tuning(Budget("trials", 9), Method(sampler="cmaes")), tmp_path)
    trial = search.ask()
    place = f"{search.study.sampler._attr_key_optimizer}:0"
    planted = pickle.dumps(Bomb(trap)).hex()
    search.study._storage.set_trial_system_attr(trial._trial_id, place, planted)
    search.tell(trial, "complete", 0.5, 1.0, 1.0, 1.0, 1000)
    with pytest.raises(pickle.UnpicklingError, match="mkdir"):
        search.ask()
    assert not trap.exists()


def test_a_journal_keeps_no_pickled_snapshots() -> None:
    from optuna.storages.journal import JournalFileBackend
    from optuna.storages.journal._base import BaseJournalSnapshot

    assert not issubclass(JournalFileBackend, BaseJournalSnapshot)


@pytest.mark.parametrize("thing", [os.system, eval, Path("x"), np.load])
def test_only_numbers_are_unpickled(thing: Any) -> None:
    with pytest.raises(pickle.UnpicklingError):
        plain_pickle.loads(pickle.dumps(thing))


def test_torchvisions_pickled_archives_are_read_only_if_they_are_the_published_ones(
    tmp_path: Path, trap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CIFAR: the one format of ours that is a pickle. torchvision compares each file's digest before it opens it."""
    from torchvision.datasets import CIFAR10, CIFAR100

    for kind in (CIFAR10, CIFAR100):
        folder = tmp_path / kind.base_folder
        folder.mkdir()
        for name in [name for name, _ in (*kind.train_list, *kind.test_list)] + [kind.meta["filename"]]:
            (folder / name).write_bytes(pickle.dumps(Bomb(trap)))
        with pytest.raises(RuntimeError, match="corrupted"):
            kind(tmp_path, download=False)
    assert not trap.exists()


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_only_these_datasets_are_pickles(name: str) -> None:
    """A version of torchvision or timm that brings more of them is to be looked at."""
    import inspect

    from timm.data import dataset_factory
    from torchvision import datasets

    pickled = {
        short
        for short, kind in dataset_factory._TORCH_BASIC_DS.items()
        if "pickle." in inspect.getsource(inspect.getmodule(kind))
    }
    assert name in pickled and pickled == {"cifar10", "cifar100"}
    for kind in (datasets.ImageNet, datasets.INaturalist, datasets.Places365, datasets.QMNIST):
        source = inspect.getsource(inspect.getmodule(kind))
        assert "pickle." not in source
        assert source.count("torch.load(") == source.count("weights_only=True")


# paths


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/x", "a\nb", "..", ".hidden", "a/b", "a\0b", "~", "-rf", "", "ä/../b", "x" * 101]
)
def test_a_study_name_is_one_folders_name(tmp_path: Path, name: str) -> None:
    text = yaml.safe_dump({**FIELDS, "name": name})
    with pytest.raises(UserError, match="name"):
        plan(tmp_path, text)


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a\nb", "..", ".", "a\0b", "", "../a\\..\\b"])
def test_a_report_of_any_name_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    """A store that someone else wrote may hold experiments of any name."""
    from reports.report import file_name

    path = (tmp_path / file_name(name)).resolve()
    assert path.parent == tmp_path.resolve()


@pytest.mark.parametrize("file", [".zshenv", ".bashrc", "x.py", "authorized_keys", ".git/hooks/post-commit"])
@pytest.mark.parametrize("field", ["store=sqlite:///", "tune.storage=sqlite:///", "tune.storage="])
def test_a_study_writes_no_file_that_something_else_reads(tmp_path: Path, field: str, file: str) -> None:
    """What is written there holds names of the study's choice, as `$(...)`."""
    with pytest.raises(UserError, match="must end in"):
        plan(tmp_path, TINY_STUDY, "tune.trials=2", f"{field}{tmp_path / file}")


@pytest.mark.parametrize("name", ["tfds/author:dataset", "hfds/author/dataset"])
def test_datasets_that_bring_code_are_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from bench.data import external

    monkeypatch.setattr(external.importlib.util, "find_spec", lambda package: object())
    monkeypatch.setattr(external, "version", lambda package: "3.6.0")
    family, request = find(DatasetSpec(name), Path("."))
    with pytest.raises(UserError, match=r"is not run|may run scripts"):
        family.inspect(request)


def test_no_link_in_the_folder_for_temporary_files_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with lock.exclusive("uri", "study"):
        (path,) = tmp_path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    path.unlink()
    path.symlink_to(tmp_path / "victim")
    with pytest.raises(UserError, match="lock file"), lock.exclusive("uri", "study"):
        pass
    assert not (tmp_path / "victim").exists()


def test_a_lock_file_of_someone_else_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    with pytest.raises(UserError, match="another user"), lock.exclusive("uri", "study"):
        pass


# the UI and servers


def test_servers_are_started_on_loopback_alone() -> None:
    line = server.command(5000)
    assert [line[i + 1] for i, word in enumerate(line) if word == "--host"] == ["127.0.0.1"]
    assert "--allowed-hosts" not in line and "--disable-security-middleware" not in line
    result = CliRunner().invoke(cli.app, ["ui", "--host", "0.0.0.0"])
    assert result.exit_code == 2, "with such an option goes a word on authentication: see SECURITY.md"


def test_the_command_line_of_a_server_holds_no_password() -> None:
    uri = "postgresql://me:planted-password@host/db"
    assert "planted" not in " ".join(server.command(5000))
    assert server.environment(uri)["MLFLOW_BACKEND_STORE_URI"] == uri


@pytest.mark.parametrize(
    ("field", "address", "own", "secret"),
    [
        ("store", "http://elsewhere:5000", "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN"),
        ("store", "https://elsewhere", "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_PASSWORD"),
        ("store", "postgresql+psycopg://elsewhere/db", "MLFLOW_TRACKING_URI", "PGPASSWORD"),
        ("tune.storage", "postgresql://elsewhere/db", "OPTUNA_STORAGE", "PGPASSWORD"),
    ],
)
def test_a_study_does_not_choose_who_is_sent_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str, address: str, own: str, secret: str
) -> None:
    for name in (own, "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD", "PGPASSWORD"):
        monkeypatch.delenv(name, raising=False)
    refuse_unasked_server(field, address, own)
    monkeypatch.setenv(secret, "planted")
    (tmp_path / "study.yaml").write_text(TINY_STUDY)
    sets = ["--set", f"{field}={address}", "--set", "tune.trials=1"]
    result = CliRunner().invoke(cli.app, ["plan", str(tmp_path / "study.yaml"), *sets])
    assert isinstance(result.exception, UserError) and secret in str(result.exception)
    monkeypatch.setenv(own, address)
    refuse_unasked_server(field, address, own)
    assert store_uri() == address or field != "store"
