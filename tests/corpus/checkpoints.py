"""Checkpoints: code in place of weights, damaged files, weights of something else."""

from __future__ import annotations

import argparse
import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from tests.corpus.case import Bad, Maker, study

Write = Callable[[Path], object]


def bad(name: str, file: str, write: Write, message: str) -> Bad:
    return Bad(name, _with(file, write), message)


def _with(file: str, write: Write) -> Maker:
    def make(folder: Path) -> None:
        study(("random: true", f"checkpoint: {file}"))(folder)
        write(folder / file)

    return make


def keyed(name: str, file: str, key: str, write: Write, message: str) -> Bad:
    """The same with a key in the study."""

    def make(folder: Path) -> None:
        study(("random: true", f"checkpoint: {file}\n    key: {key}"))(folder)
        write(folder / file)

    return Bad(name, make, message)


def renamed(name: str, patterns: str, message: str) -> Bad:
    """The network's own weights, with names to be changed."""

    def make(folder: Path) -> None:
        study(("random: true", f"checkpoint: w.pth\n    rename: {patterns}"))(folder)
        saved(state)(folder / "w.pth")

    return Bad(name, make, message)


@cache
def state(network: str = "test_resnet") -> dict[str, Any]:
    import timm

    return timm.create_model(network, num_classes=7).state_dict()


def saved(content: Callable[[], Any], **options: Any) -> Write:
    """`content()` as `torch.save` writes it."""

    def write(path: Path) -> None:
        import torch

        torch.save(content(), path, **options)

    return write


def changed(change: Callable[[dict[str, Any]], Any]) -> Write:
    """The weights of the network itself, and a change to them."""

    def content() -> Any:
        own = {name: tensor.clone() for name, tensor in state().items()}
        return change(own) or own

    return saved(content)


def data(content: bytes) -> Write:
    return lambda path: path.write_bytes(content)


class Bomb:
    """Makes the file `exploded` where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("exploded", "w")


def cut(path: Path) -> None:
    saved(state)(path)
    path.write_bytes(path.read_bytes()[:5000])


def flipped(path: Path) -> None:
    """Of a safetensors file, a byte of its header."""
    as_safetensors(path)
    content = bytearray(path.read_bytes())
    content[9] ^= 255
    path.write_bytes(content)


def as_safetensors(path: Path, metadata: dict[str, str] | None = None) -> None:
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in state().items()}, path, metadata)


def with_config(text: str) -> Write:
    return lambda path: as_safetensors(path, {"data_config": text})


def script(path: Path) -> None:
    import torch

    torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))


def module() -> Any:
    import timm

    return timm.create_model("test_resnet")


def optimizer() -> dict[str, Any]:
    import torch

    return {"optimizer": torch.optim.SGD([torch.nn.Parameter(torch.ones(3))], 0.1).state_dict(), "epoch": 3}


def cycle() -> dict[str, Any]:
    content: dict[str, Any] = {}
    content["model"] = content
    return content


def deep() -> dict[str, Any]:
    content: dict[str, Any] = {}
    for _ in range(200):
        content = {"model": content}
    return content


def filled(name: str, value: float) -> Callable[[dict[str, Any]], None]:
    return lambda own: own[name].view(-1)[:1].fill_(value) and None


def cast(to: str) -> Callable[[dict[str, Any]], Any]:
    def change(own: dict[str, Any]) -> Any:
        import torch

        return {name: tensor.to(getattr(torch, to)) for name, tensor in own.items()}

    return change


def on_meta(own: dict[str, Any]) -> Any:
    return {name: tensor.to("meta") for name, tensor in own.items()}


def huge(own: dict[str, Any]) -> Any:
    return {
        name: tensor.double().add(1e300) if tensor.is_floating_point() else tensor
        for name, tensor in own.items()
    }


def few(own: dict[str, Any]) -> Any:
    return {name: own[name] for name in list(own)[:10]}


def prefixed(own: dict[str, Any]) -> Any:
    return {f"trunk/{name}": tensor for name, tensor in own.items()}


def a_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("hello.txt", "hello")


def legacy(path: Path) -> None:
    path.write_bytes(pickle.dumps({"state_dict": Bomb()}))


def numpy_file(path: Path) -> None:
    import numpy as np

    content = io.BytesIO()
    np.savez(content, a=np.zeros(3))
    path.write_bytes(content.getvalue())


FAR = struct.pack("<Q", 2**60) + b"{}"
BEYOND = json.dumps({"conv1.weight": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()

CASES: list[Bad] = [
    # code
    bad("an object that runs code", "w.pth", saved(Bomb), "checkpoint DIR/w.pth: holds io.open, and is not a plain file of weights; pickled code is refused, since loading would run it."),
    bad("weights beside an object that runs code", "w.pth", saved(lambda: {"state_dict": state(), "args": Bomb()}), "checkpoint DIR/w.pth: holds io.open, and is not a plain file of weights; pickled code is refused, since loading would run it. If you trust its origin, convert it once, where you can afford that and the code that it needs is installed: `import torch; m = torch.load('DIR/w.pth', map_location='cpu', weights_only=False); torch.save(m['state_dict'], 'w-weights.pth')`"),
    bad("a bare pickle that runs code", "w.pth", legacy, "checkpoint DIR/w.pth: was written by pickle, not by torch.save; pickled code is refused, since loading would run it."),
    bad("torch's old format, with code", "w.pth", saved(Bomb, _use_new_zipfile_serialization=False), "checkpoint DIR/w.pth: holds io.open, and is not a plain file of weights; pickled code is refused, since loading would run it."),
    bad("a whole module", "w.pth", saved(module), "checkpoint DIR/w.pth: holds a whole network, and is not a plain file of weights; pickled code is refused, since loading would run it. If you trust its origin, convert it once, where you can afford that and the code that it needs is installed: `import torch; m = torch.load('DIR/w.pth', map_location='cpu', weights_only=False); torch.save(m.state_dict(), 'w-weights.pth')`"),
    bad("TorchScript", "w.pt", script, "checkpoint DIR/w.pt: is a program of TorchScript, not a plain file of weights; pickled code is refused, since loading would run it. If you trust its origin, convert it once, where you can afford that and the code that it needs is installed: `import torch; m = torch.jit.load('DIR/w.pt'); torch.save(dict(m.state_dict()), 'w-weights.pth')`"),
    bad("a bare pickle of weights", "w.pth", lambda path: path.write_bytes(pickle.dumps(state())), "checkpoint DIR/w.pth: was written by pickle, not by torch.save; pickled code is refused, since loading would run it. If you trust its origin, convert it once, where you can afford that and the code that it needs is installed: `import torch; m = __import__('pickle').load(open('DIR/w.pth', 'rb')); torch.save(m, 'w-weights.pth')`"),
    # files
    bad("no file", "gone.pth", lambda path: None, "study.yaml:9: backbones.0.checkpoint: no such file: gone.pth"),
    bad("a folder", "w.pth", lambda path: path.mkdir(), "study.yaml:9: backbones.0.checkpoint: not a file: w.pth"),
    bad("a link to itself", "w.pth", lambda path: path.symlink_to("w.pth"), "study.yaml:9: backbones.0.checkpoint: no such file: w.pth"),
    bad("a named pipe", "w.pth", os.mkfifo, "study.yaml:9: backbones.0.checkpoint: not a file: w.pth"),
    bad("an unknown kind", "w.h5", data(b"\x89HDF\r\n"), "checkpoint DIR/w.h5: unknown kind '.h5'; known: .safetensors, .pth, .pt, .bin, .ckpt, .pyth, .tar"),
    bad("an empty file", "w.pth", data(b""), "checkpoint DIR/w.pth: is empty"),
    bad("an empty safetensors", "w.safetensors", data(b""), "checkpoint DIR/w.safetensors: is empty"),
    bad("a truncated file", "w.pth", cut, "checkpoint DIR/w.pth: is incomplete: the end of the archive is missing or damaged"),
    bad("text", "w.pth", data(b"hello, world"), "checkpoint DIR/w.pth: is no checkpoint: it begins with b'hello, world'"),
    bad("a page of the web", "w.safetensors", data(b"<!doctype html>" * 9), "checkpoint DIR/w.safetensors: is no checkpoint: it begins with b'<!doctype html><'"),
    bad("a pointer of Git LFS", "w.pth", data(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"), "checkpoint DIR/w.pth: is a pointer of Git LFS, not the file itself; fetch it with `git lfs pull`"),
    bad("another archive", "w.pth", a_zip, "checkpoint DIR/w.pth: is an archive of something else: it holds 'hello.txt'"),
    bad("arrays of NumPy", "w.pth", numpy_file, "checkpoint DIR/w.pth: is an archive of something else: it holds 'a.npy'"),
    bad("safetensors under a wrong name", "w.pth", as_safetensors, "checkpoint DIR/w.pth: is not a torch file; if it is safetensors, name it .safetensors"),
    bad("a torch file named safetensors", "w.safetensors", saved(state), "checkpoint DIR/w.safetensors: is not a safetensors file; if it is one of torch, name it .pth"),
    bad("a damaged header", "w.safetensors", flipped, "checkpoint DIR/w.safetensors: cannot be read: …"),
    bad("a header longer than the file", "w.safetensors", data(FAR), "checkpoint DIR/w.safetensors: cannot be read: …"),
    bad("tensors beyond the end", "w.safetensors", data(struct.pack("<Q", len(BEYOND)) + BEYOND), "checkpoint DIR/w.safetensors: cannot be read: …"),
    bad("metadata that is no JSON", "w.safetensors", with_config("{"), "checkpoint DIR/w.safetensors: its data_config is no JSON: …"),
    bad("metadata nested too deep", "w.safetensors", with_config("[" * 100_000), "checkpoint DIR/w.safetensors: its data_config is no JSON: …"),
    bad("metadata with a mean of words", "w.safetensors", with_config('{"mean": "grey"}'), "checkpoint DIR/w.safetensors: data_config: mean is 'grey', but must be three numbers (pixels are in 0..1)"),
    bad("metadata with a mean that is no number", "w.safetensors", with_config('{"mean": [NaN, 0, 0]}'), "checkpoint DIR/w.safetensors: data_config: mean is [nan, 0, 0], but must be three numbers (pixels are in 0..1)"),
    bad("one part of several", "model-00001-of-00002.safetensors", as_safetensors, "checkpoint DIR/model-00001-of-00002.safetensors: is one of 2 parts of a network; give one file with all of it"),
    # contents
    bad("an optimiser's state", "w.pth", saved(optimizer), "checkpoint DIR/w.pth: holds no named tensors, but the state of an optimiser, which is no network"),
    bad("a student and a teacher", "w.pth", saved(lambda: {"student": state(), "teacher": state()}), "checkpoint DIR/w.pth: holds 2 networks that fit, and which is meant cannot be told: student, teacher. Say it in the study, beside `checkpoint`: `key: student`"),
    bad("two encoders in one mapping", "w.pth", saved(lambda: {"state_dict": {f"module.encoder_{k}.{n}": t for k in "qk" for n, t in state().items()}}), "checkpoint DIR/w.pth: holds 2 networks that fit, and which is meant cannot be told: state_dict.module.encoder_q, state_dict.module.encoder_k. Say it in the study, beside `checkpoint`: `key: state_dict.module.encoder_q`"),
    keyed("a key that there is not", "w.pth", "techer", saved(lambda: {"student": state(), "teacher": state()}), "checkpoint DIR/w.pth: has no key 'techer'; did you mean teacher?; it has student, teacher"),
    bad("training arguments of another network", "w.pth", saved(lambda: {"state_dict": state(), "args": argparse.Namespace(model="resnet18.a1_in1k")}), "checkpoint DIR/w.pth: holds weights of resnet18 (`args` in the file), not of test_resnet; set `name: resnet18`"),
    bad("metadata of another network", "w.safetensors", lambda path: as_safetensors(path, {"architecture": "test_vit"}), "checkpoint DIR/w.safetensors: holds weights of test_vit (its metadata), not of test_resnet; set `name: test_vit`"),
    bad("weights of a network that was changed", "w.safetensors", lambda path: as_safetensors(path, {"changed": "was kept by a run of 'truncate'"}), "checkpoint DIR/w.safetensors: was kept by a run of 'truncate'"),
    bad("nothing inside", "w.pth", saved(dict), "checkpoint DIR/w.pth: holds no named tensors, but nothing"),
    bad("a number", "w.pth", saved(lambda: 5), "checkpoint DIR/w.pth: holds no named tensors, but int"),
    bad("a list", "w.pth", saved(lambda: [1, 2]), "checkpoint DIR/w.pth: holds no named tensors, but list"),
    bad("no tensors", "w.pth", saved(lambda: {"epoch": 3, "args": {"lr": 0.1}}), "checkpoint DIR/w.pth: holds no named tensors, but 'epoch', 'args'"),
    bad("a mapping that holds itself", "w.pth", saved(cycle), "checkpoint DIR/w.pth: holds no named tensors, but 'model'"),
    bad("200 wrappers", "w.pth", saved(deep), "checkpoint DIR/w.pth: holds no named tensors, but 'model'"),
    bad("tensors without values", "w.pth", changed(on_meta), "checkpoint DIR/w.pth: holds no named tensors, but 'conv1.0.weight', 'conv1.1.weight', 'conv1.1.bias', 'conv1.1.running_mean', 'conv1.1.running_var'"),
    bad("another architecture", "w.pth", saved(lambda: state("test_vit")), "checkpoint DIR/w.pth: no weight of the backbone fits ResNet; is it of another architecture? The checkpoint has cls_token [1, 1, 64], pos_embed [1, 101, 64], patch_embed.proj.weight [64, 3, 16, 16], patch_embed.proj.bias [64], ...; the network has conv1.0.weight [16, 3, 3, 3], conv1.1.weight [16], conv1.1.bias [16], conv1.1.running_mean [16], ... (`rename` maps names, `key` says where in the file they begin)"),
    bad("another architecture of the family", "w.pth", saved(lambda: state("resnet10t")), "checkpoint DIR/w.pth: no weight of the backbone fits ResNet; is it of another architecture? The checkpoint has conv1.0.weight [24, 3, 3, 3], conv1.1.weight [24], conv1.1.bias [24], conv1.1.running_mean [24], ...; the network has conv1.0.weight [16, 3, 3, 3], conv1.1.weight [16], conv1.1.bias [16], conv1.1.running_mean [16], ... (`rename` maps names, `key` says where in the file they begin)"),
    bad("other names", "w.pth", changed(prefixed), "checkpoint DIR/w.pth: no weight of the backbone fits ResNet; is it of another architecture? The checkpoint has trunk/conv1.0.weight [16, 3, 3, 3], trunk/conv1.1.weight [16], trunk/conv1.1.bias [16], trunk/conv1.1.running_mean [16], ...; the network has conv1.0.weight [16, 3, 3, 3], conv1.1.weight [16], conv1.1.bias [16], conv1.1.running_mean [16], ... (`rename` maps names, `key` says where in the file they begin)"),
    bad("a tenth of the weights", "w.pth", changed(few), "checkpoint DIR/w.pth: only 0.8% of the backbone fits ResNet; is it of another architecture? The checkpoint has conv1.0.weight [16, 3, 3, 3], conv1.1.weight [16], conv1.1.bias [16], conv1.1.running_mean [16], ...; the network has conv1.4.running_var [16], conv1.4.num_batches_tracked [], conv1.6.weight [32, 16, 3, 3], bn1.weight [32], ... (`rename` maps names, `key` says where in the file they begin)"),
    bad("weights that are not a number", "w.pth", changed(filled("layer3.0.conv2.weight", float("nan"))), "checkpoint DIR/w.pth: layer3.0.conv2.weight holds values that are not finite"),
    bad("infinite weights", "w.pth", changed(filled("layer2.0.conv1.weight", float("-inf"))), "checkpoint DIR/w.pth: layer2.0.conv1.weight holds values that are not finite"),
    bad("statistics that are not a number", "w.pth", changed(filled("bn1.running_var", float("nan"))), "checkpoint DIR/w.pth: bn1.running_var holds values that are not finite"),
    bad("weights beyond 32 bits", "w.pth", changed(huge), "checkpoint DIR/w.pth: conv1.0.weight holds values that are not finite"),
    bad("quantised weights", "w.pth", changed(cast("int8")), "checkpoint DIR/w.pth: conv1.0.weight holds int8, where the network has float32"),
    bad("complex weights", "w.pth", changed(cast("complex64")), "checkpoint DIR/w.pth: conv1.0.weight holds complex64, where the network has float32"),
    renamed("a pattern that is none", "{'(': x}", "rename: '(' is not a regular expression: …"),
    renamed("a pattern of nothing in it", "{stm: stem}", "rename: 'stm' matches no key of the checkpoint (bn1.bias, bn1.num_batches_tracked, bn1.running_mean, ...)"),
    renamed("a pattern that makes two names one", "{'[0-9]': ''}", "rename: 'conv1.0.weight' and 'conv1.1.weight' both become 'conv..weight'"),
    renamed("a replacement of a group that there is not", r"{'^conv': '\2'}", "rename: replacement '\\\\2' of '^conv': invalid group reference 2 at position 1"),
]  # fmt: skip
