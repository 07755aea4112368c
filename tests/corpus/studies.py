"""Study files: each one slip, or one attack, away from a good one."""

from __future__ import annotations

import os
from pathlib import Path

from tests.corpus.case import RUN, Bad, Maker, study

FIRST = "  - name: folder:images"


def edited(name: str, old: str, new: str, message: str) -> Bad:
    return Bad(name, study((old, new)), message)


def overridden(name: str, override: str, message: str) -> Bad:
    return Bad(name, study(), message, (*RUN, "--set", override))


def content(data: bytes) -> Maker:
    return lambda folder: (folder / "study.yaml").write_bytes(data)


def nested(folder: Path) -> None:
    (folder / "study.yaml").write_text("name: deep\nhyperparameters: " + "[" * 5000 + "]" * 5000)


def billion_laughs(folder: Path) -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    (folder / "study.yaml").write_text("\n".join(lines))


def itself(folder: Path) -> None:
    (folder / "study.yaml").symlink_to("study.yaml")


CASES: list[Bad] = [
    # the file
    Bad("no file", lambda folder: (folder / "studdy.yaml").touch(), "study.yaml: no such study file; did you mean studdy.yaml?"),
    Bad("a folder", lambda folder: (folder / "study.yaml").mkdir(), "study.yaml: a folder, not a study file"),
    Bad("a named pipe", lambda folder: os.mkfifo(folder / "study.yaml"), "study.yaml: no regular file"),
    Bad("a link to itself", itself, "study.yaml: a link that leads nowhere"),
    Bad("a name of 5,000 letters", lambda folder: None, "…aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: cannot be read (…)", ("run", "a" * 5000)),
    Bad("an empty file", content(b""), "study.yaml:1: a study is a mapping with name, datasets, backbones, strategies and seeds"),
    Bad("nothing but a comment", content(b"# a study\n"), "study.yaml:1: a study is a mapping with name, datasets, backbones, strategies and seeds"),
    Bad("a list", content(b"- name: x\n"), "study.yaml:1: a study is a mapping with name, datasets, backbones, strategies and seeds"),
    Bad("a word", content(b"study"), "study.yaml:1: a study is a mapping with name, datasets, backbones, strategies and seeds"),
    Bad("UTF-16", content("name: x\n".encode("utf-16")), "study.yaml: not a UTF-8 text file"),
    Bad("Latin-1", content("name: caf\u00e9\n".encode("latin-1")), "study.yaml: not a UTF-8 text file"),
    Bad("a NUL character", content(b"name: x\0y\n"), "study.yaml:1: not valid YAML: the character #x0000 is not allowed in text"),
    Bad("a picture", content(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "study.yaml: not a UTF-8 text file"),
    Bad("two megabytes", content(b"#" * 2_000_000), "study.yaml: larger than 100,000 bytes; a study file is a few dozen lines"),
    # YAML
    edited("a bracket too few", "seeds: 1", "seeds: [1", "study.yaml:13: not valid YAML: expected ',' or ']', but got ':'"),
    edited("a tab", "seeds: 1", "seeds:\n\t- 1", "study.yaml:13: not valid YAML: found character '\\t' that cannot start any token"),
    edited("an indentation that fits nothing", "    random: true", "   random: true", "study.yaml:9: not valid YAML: expected <block end>, but found '<block mapping start>'"),
    edited("a race to nothing", "seeds: 1", "seeds: {until: certain}", "study.yaml:12: seeds.until: input should be 'decided' (is 'certain')"),
    edited("a race of unknown fields", "seeds: 1", "seeds: {until: decided, most: 5}", "study.yaml:12: seeds.most: unknown field; did you mean at_most?"),
    edited("looks that decrease", "seeds: 1", "seeds: {until: decided, at_most: 5, looks: [8, 5]}", "study.yaml:12: seeds: looks are numbers of seeds that increase, not [8, 5]"),
    edited("looks beyond the last seed", "seeds: 1", "seeds: {until: decided, at_most: 5, looks: [3, 8]}", "study.yaml:12: seeds: the last look is after at_most = 5 seeds, not after 8"),
    edited("seeds in words", "seeds: 1", "seeds: many", "study.yaml:12: seeds: expected how many seeds, a list of them, or {until: decided, at_most: 20} (is 'many')"),
    edited("two documents", "seeds: 1", "seeds: 1\n---\nname: another", "study.yaml:13: not valid YAML: but found another document"),
    edited("a key twice", "seeds: 1", "seeds: 1\nseeds: 3", "study.yaml:13: duplicate key 'seeds'"),
    edited("a list as key", "seeds: 1", "seeds: 1\n[a, b]: 1", "study.yaml:13: a key must be a word, not a list or mapping"),
    edited("an alias", "seeds: 1", "seeds: &a 1\nquestion: *a", "study.yaml:13: aliases (*name) are not allowed in a study; write the values out"),
    edited("a merge", "seeds: 1", "seeds: 1\nmatrix: {<<: *x}", "study.yaml:13: aliases (*name) are not allowed in a study; write the values out"),
    Bad("a billion laughs", billion_laughs, "study.yaml:2: aliases (*name) are not allowed in a study; write the values out"),
    Bad("5,000 brackets", nested, "study.yaml:2: more than 20 lists and mappings within each other"),
    edited("a Python object", "seeds: 1", "seeds: !!python/object/apply:os.system [touch hacked]", "study.yaml:12: !!python/object/apply:os.system is not allowed in a study, which holds text, numbers, true, false, lists and mappings"),
    edited("a Python name", "seeds: 1", "seeds: !!python/name:os.system", "study.yaml:12: !!python/name:os.system is not allowed in a study, which holds text, numbers, true, false, lists and mappings"),
    edited("a day that there is not", "seeds: 1", "seeds: 2020-99-99", "study.yaml:12: seeds: expected how many seeds, a list of them, or {until: decided, at_most: 20} (is '2020-99-99')"),
    edited("a number of 5,000 digits", "seeds: 1", "seeds: " + "9" * 5000, "study.yaml:12: '9999999999999999999999999999999999999999999999999...999999' is no int"),
    edited("a word said to be a number", "seeds: 1", "seeds: !!int many", "study.yaml:12: 'many' is no int"),
    edited("a word said to be true or false", "random: true", "random: !!bool perhaps", "study.yaml:9: 'perhaps' is no bool"),
    edited("hexadecimal without digits", "seeds: 1", "seeds: 0x_", "study.yaml:12: '0x_' is no int"),
    edited("half of a character", "seeds: 1", 'seeds: 1\nquestion: "\\ud800"', "study.yaml:13: '\\ud800' holds half a character, which no file can"),
    edited("not a number", "seeds: 1", "seeds: 1\nhyperparameters: {linear_probe: {lr: .nan}}", "study.yaml:13: '.nan' is no number that a run can be told by"),
    edited("infinity", "seeds: 1", "seeds: 1\nhyperparameters: {linear_probe: {lr: -.inf}}", "study.yaml:13: '-.inf' is no number that a run can be told by"),
    edited("a number too large for a float", "seeds: 1", "seeds: 1\nhyperparameters: {linear_probe: {lr: 1e999}}", "study.yaml:13: '1e999' is no number that a run can be told by"),
        edited("bytes", "random: true", "random: true\n    kwargs: {x: !!binary aGk=}", "study.yaml:10: !!binary is not allowed in a study, which holds text, numbers, true, false, lists and mappings"),
    edited("a set", "random: true", "random: true\n    kwargs: {x: !!set {a, b}}", "study.yaml:10: !!set is not allowed in a study, which holds text, numbers, true, false, lists and mappings"),
    # fields
    edited("an unknown field", "seeds: 1", "seeds: 1\nsed: 1", "study.yaml:13: sed: unknown field; did you mean seeds or store?"),
    edited("an unknown field below", "n_per_class", "n_per_clas", "study.yaml:4: datasets.0.n_per_class: this field is required and missing\nstudy.yaml:6: datasets.0.n_per_clas: unknown field; did you mean n_per_class?"),
    edited("an unknown training setting", "image_size: 32", "image_sise: 32", "study.yaml:13: train.image_sise: unknown field; did you mean image_size or batch_size?"),
    edited("a missing field", "seeds: 1", "", "study.yaml:2: seeds: this field is required and missing"),
    edited("a missing field below", "    similarity: similar\n", "", "study.yaml:4: datasets.0.similarity: this field is required and missing"),
    edited("a number as a key", "seeds: 1", "seeds: 1\n1: 2", "study.yaml:13: 1: unknown field"),
    edited("nothing as a key", "seeds: 1", "seeds: 1\n~: 2", "study.yaml:13: ~: unknown field"),
    edited("text for a number", "image_size: 32", "image_size: large", "study.yaml:13: train.image_size: expected a whole number (is 'large')"),
    edited("a list for a name", "name: corpus", "name: [corpus]", "study.yaml:2: name: expected text (is ['corpus'])"),
    edited("a mapping for a list", "seeds: 1", "seeds: {a: 1}", "study.yaml:12: seeds.until: this field is required and missing\n…"),
    edited("nothing for a list", "  - linear_probe\n", "", "study.yaml:10: strategies: expected a list (is None)"),
    edited("a list for a mapping", "train: {image_size: 32, precision: fp32}", "train: [1, 2]", "study.yaml:13: train: expected a mapping (is [1, 2])"),
    edited("a list where a dataset is wanted", FIRST, "  - [folder:images]\n  - name: folder:images", "study.yaml:4: datasets.0: expected a mapping (is ['folder:images'])"),
    edited("no datasets", "datasets:\n", "datasets: []\nquestion:\n", "study.yaml:4: question: expected text (is [{'name': 'folder:images', 'similarity': 'similar'...s': 5}])\nstudy.yaml:3: datasets: expected at least one entry (is [])"),
    edited("two mistakes at once", "seeds: 1", "seeds: -1\nsed: 2", "study.yaml:12: seeds: expected at least one entry (is [])\nstudy.yaml:13: sed: unknown field; did you mean seeds or store?"),
    edited("a path as name", "name: corpus", "name: ../corpus", "study.yaml:2: name: use letters, digits, '.', '_' and '-': the name is also a folder's (is '../corpus')"),
    edited("a label of two lines", FIRST, '  - label: "a\\nb"\n    name: folder:images', "study.yaml:4: datasets.0.label: a label is one line of at most 250 characters, without control characters (is 'a\\nb')"),
    # the words of before
    edited("hyperparameters by their former word", "seeds: 1", "seeds: 1\nknobs: {linear_probe: {lr: 0.1}}", "study.yaml: written in former words; say hyperparameters: for knobs:"),
    edited("all former words at once", FIRST, "  - {name: world/fine, similarity: similar, n_per_class: [5]}\n" + FIRST, "study.yaml: written in former words; say synthetic/fine for world/fine"),
    overridden("a former word in an override", "train.numerics=fp32", "study.yaml: written in former words; say precision: for numerics:"),
    # numbers
    edited("no seeds", "seeds: 1", "seeds: 0", "study.yaml:12: seeds: expected at least one entry (is [])"),
    edited("a seed twice", "seeds: 1", "seeds: [1, 1]", "study.yaml:12: seeds: duplicate seed"),
    edited("a negative seed", "seeds: 1", "seeds: [-1]", "study.yaml:12: seeds.0: input should be greater than or equal to 0 (is -1)"),
    edited("a billion seeds", "seeds: 1", "seeds: 1000000000", "study.yaml:12: seeds: more than 100,000 seeds (is 1000000000)"),
    Bad("a million runs", study(("seeds: 1", "seeds: 90000"), ("n_per_class: 5", "n_per_class: [5, 6]")), "study.yaml: 180,000 runs, more than 100,000; fewer seeds, sizes or strategies?"),
    edited("pixels without end", "image_size: 32", "image_size: 1000000000", "study.yaml:13: train.image_size: input should be less than or equal to 4096 (is 1000000000)"),
    edited("too few pixels", "image_size: 32", "image_size: 4", "study.yaml:13: train.image_size: input should be greater than or equal to 8 (is 4)"),
    edited("epochs without end", "image_size: 32", "image_size: 32, epochs: 1000000000000", "study.yaml:13: train.epochs: input should be less than or equal to 100000 (is 1000000000000)"),
    edited("no epochs", "image_size: 32", "image_size: 32, epochs: 0", "study.yaml:13: train.epochs: input should be greater than or equal to 1 (is 0)"),
    edited("one image a batch", "image_size: 32", "image_size: 32, batch_size: 1", "study.yaml:13: train.batch_size: input should be greater than or equal to 2 (is 1)"),
    edited("everything for validation", "image_size: 32", "image_size: 32, val_share: 1", "study.yaml:13: train.val_share: input should be less than 1 (is 1)"),
    edited("half an image", "n_per_class: 5", "n_per_class: 2.5", 'study.yaml:6: datasets.0.n_per_class.0: expected a whole number of at least 1, or "all" (is 2.5)'),
    edited("no images", "n_per_class: 5", "n_per_class: 0", 'study.yaml:6: datasets.0.n_per_class.0: expected a whole number of at least 1, or "all" (is 0)'),
    edited("too few images to validate", "n_per_class: 5", "n_per_class: 2", "study.yaml:6: datasets.0.n_per_class.0: 2 images per class leave none for validation at val_share 0.2; use at least 5"),
    edited("more images than there are", "n_per_class: 5", "n_per_class: 500", "study.yaml:6: datasets.0.n_per_class.0: 500 images per class, but class 'cat' has only 6 to train on"),
    edited("sizes that mean the same", "n_per_class: 5", "n_per_class: [6, all]", "study.yaml:6: datasets.0.n_per_class.1: all means 6 images per class, which stands here already"),
    # datasets
    edited("an unknown dataset", "folder:images", "synthetic/glyf", "study.yaml:4: datasets.0.name: unknown dataset 'synthetic/glyf'; did you mean synthetic/glyph or synthetic/fine or synthetic/blend?"),
    edited("a folder without its prefix", "folder:images", "images", "study.yaml:4: datasets.0.name: unknown dataset 'images'; did you mean folder:images?"),
    edited("a folder that is not there", "folder:images", "folder:imags", "study.yaml:4: datasets.0.name: dataset 'folder:imags': DIR/imags does not exist"),
    edited("a folder of somebody unknown", "folder:images", "folder:~nobody-here/images", "study.yaml:4: datasets.0.name: dataset 'folder:~nobody-here/images': '~nobody-here/images' is no path: could not determine home directory."),
    edited("NUL in a path", "name: folder:images", 'name: "folder:im\\0ages"', "study.yaml:4: datasets.0.name: dataset 'folder:im\\x00ages': 'im\\x00ages' is no path: it holds a NUL character"),
    edited("an unknown option", FIRST, f"{FIRST}\n    options: {{tset_share: 0.5}}", "study.yaml:4: datasets.0.name: dataset 'folder:images': unknown option 'tset_share'; did you mean test_share?"),
    edited("an option of a wrong type", FIRST, f"{FIRST}\n    options: {{test_share: half}}", "study.yaml:4: datasets.0.name: dataset 'folder:images', option 'test_share': 'half' is not a valid value, want number from 0.01 to 0.9"),
    edited("an option out of range", FIRST, f"{FIRST}\n    options: {{test_share: 2}}", "study.yaml:4: datasets.0.name: dataset 'folder:images', option 'test_share': 2.0 is not a valid value, want number from 0.01 to 0.9"),
    edited("a package that is not installed", "folder:images", "tfds/mnist", "study.yaml:4: datasets.0.name: dataset 'tfds/mnist' needs the package 'tensorflow_datasets': pip install tensorflow_datasets"),
    edited("a dataset twice", "backbones:", "  - {name: folder:images, similarity: similar, n_per_class: 6}\nbackbones:", "study.yaml: datasets: duplicate label 'images'; give one of them another `label`"),
    edited("a similarity that cannot be measured", "similarity: similar", "similarity: measured", "study.yaml:5: datasets.0.similarity: to measure it takes the images that the backbone was pretrained on, and those of test_resnet are unavailable; declare similar or dissimilar"),
    # networks
    edited("an unknown network", "name: test_resnet", "name: test_resnett", "study.yaml:8: backbones.0.name: unknown timm model 'test_resnett'; did you mean test_resnet or test_nfnet or seresnet50t?"),
    edited("a network that is a path", "name: test_resnet", "name: ../../etc/passwd", "study.yaml:8: backbones.0.name: unknown timm model '../../etc/passwd'"),
    edited("a network of the hub", "name: test_resnet", "name: hf-hub:evil/model", "study.yaml:8: backbones.0.name: unknown timm model 'hf-hub:evil/model'"),
    edited("no origin of weights", "    random: true", "    kwargs: {}", "study.yaml:8: backbones.0: test_resnet needs exactly one origin of its weights, has none: pretrained: true (timm's), checkpoint: FILE, source: DATASET (pretrained here), or random: true if untrained weights are what you want to fine-tune"),
    edited("two origins of weights", "random: true", "random: true\n    pretrained: true", "study.yaml:8: backbones.0: test_resnet needs exactly one origin of its weights, has pretrained and random: pretrained: true (timm's), checkpoint: FILE, source: DATASET (pretrained here), or random: true if untrained weights are what you want to fine-tune"),
    edited("an unknown argument", "random: true", "random: true\n    kwargs: {colour: red}", "backbone 'test_resnet': kwargs {'colour': 'red'} do not fit: …"),
    edited("an argument that the study decides", "random: true", "random: true\n    kwargs: {num_classes: 3}", "study.yaml:10: backbones.0.kwargs: backbone 'test_resnet': kwargs must not contain 'num_classes': it comes from the dataset"),
    edited("an argument of a wrong type", "random: true", "random: true\n    kwargs: {layers: many}", "backbone 'test_resnet': kwargs {'layers': 'many'} do not fit: …"),
    edited("a mean of two channels", "random: true", "random: true\n    data_config: {mean: [0, 0]}", "data_config of test_resnet: mean is [0, 0], but must be three numbers (pixels are in 0..1)"),
    edited("an unknown interpolation", "random: true", "random: true\n    data_config: {interpolation: bicubik}", "data_config of test_resnet: interpolation is 'bicubik', but must be one of nearest, bilinear, bicubic, box, hamming, lanczos"),
    edited("an unknown pretraining setting", "random: true", "source: synthetic/source\n    source_train: {epoch: 1}", "study.yaml:10: backbones.0.source_train: source_train of test_resnet: unknown setting 'epoch'; did you mean epochs?"),
    # strategies
    edited("an unknown strategy", "- linear_probe", "- linear_prob", "study.yaml:11: strategies.0: unknown strategy 'linear_prob'; did you mean linear_probe?"),
    edited("an empty strategy", "- linear_probe", '- ""', "study.yaml:11: strategies.0: an empty strategy; `bench strategies` lists what there is (is '')"),
    edited("two freezing schedules", "- linear_probe", "- full + scratch", "study.yaml:11: strategies.0: 'full + scratch' needs exactly one freezing schedule or method (such as full or linear_probe), has full and scratch"),
    edited("a meaningless composition", "- linear_probe", "- scratch + l2_sp", "study.yaml:11: strategies.0: 'scratch + l2_sp' makes no sense: l2_sp with scratch: all weights start random, so there is nothing pretrained to work on"),
    edited("use and axes", "- linear_probe", "- {use: full, lr: [uniform]}", "study.yaml:11: strategies.0: `use` names the whole composition; `lr` and `regularize` are axes that go with `freeze`"),
    edited("an unknown hyperparameter", "- linear_probe", "- {use: linear_probe, hyperparameters: {linear_probe: {rate: 1}}}", "study.yaml:11: strategies.0: linear_probe has no hyperparameter 'rate'; known: lr"),
    edited("a hyperparameter of a wrong type", "seeds: 1", "seeds: 1\nhyperparameters: {linear_probe: {lr: fast}}", "study.yaml:11: strategies.0: linear_probe.lr is 'fast', expected float"),
    edited("a negative rate", "seeds: 1", "seeds: 1\nhyperparameters: {linear_probe: {lr: -1}}", "study.yaml:11: strategies.0: linear_probe.lr is -1, expected a finite number of at least 0"),
    edited("hyperparameters of an absent strategy", "seeds: 1", "seeds: 1\nhyperparameters: {full: {lr: 1}}", "study.yaml:13: hyperparameters: hyperparameters are given for 'full', which no strategy of the study uses; known: linear_probe, none, uniform"),
    edited("a rule of an absent strategy", "seeds: 1", "seeds: 1\nmatrix: {rule: {similar-small: full}}", "study.yaml:13: matrix.rule.similar-small: 'full' is no strategy of this study; known: linear_probe"),
    edited("a billion compositions", "- linear_probe", f"- {{freeze: [{', '.join(['full'] * 1000)}], lr: [{', '.join(['uniform'] * 1000)}], regularize: [{', '.join(['none'] * 1000)}]}}", "study.yaml:11: strategies.0: its axes expand to 1,000,000,000 strategies, more than 1,000"),
    edited("one strategy under two names", "- linear_probe", "- linear_probe\n  - {use: linear_probe, label: again}", "study.yaml: images / test_resnet / linear_probe and images / test_resnet / again are the same run under two names (seed 0)"),
    edited("more stages than there are", "- linear_probe", "- {use: last_stages, hyperparameters: {last_stages: {k: 9}}}", "strategy 'last_stages' on test_resnet: last_stages: k is 9, but the backbone has stages 1..5 (0: linear_probe)"),
    edited("an unknown optimizer", "image_size: 32", "image_size: 32, optimizer: adamn", "strategy 'linear_probe' on test_resnet: unknown optimizer 'adamn'; did you mean adan or adam or adamuon?"),
    edited("an unknown optimizer argument", "image_size: 32", "image_size: 32, optimizer_kwargs: {speed: 3}", "strategy 'linear_probe' on test_resnet: train.optimizer_kwargs: …"),
    # searches
    edited("a search without budget", "seeds: 1", "seeds: 1\ntune: {}", "study.yaml:13: tune: a search needs exactly one budget, has none: trials, seconds, or samples_seen"),
    edited("a search with two budgets", "seeds: 1", "seeds: 1\ntune: {trials: 3, seconds: 5}", "study.yaml:13: tune: a search needs exactly one budget, has trials and seconds: trials, seconds, or samples_seen"),
    edited("an unknown sampler", "seeds: 1", "seeds: 1\ntune: {trials: 3, sampler: tpee}", "tune.sampler: Optuna has no sampler 'tpee'; did you mean tpe or _tpe?"),
    edited("an unknown pruner", "seeds: 1", "seeds: 1\ntune: {trials: 3, pruner: medan}", "tune.pruner: Optuna has no pruner 'medan'; did you mean median or _median?"),
    edited("a hyperparameter that is not searched", "seeds: 1", "seeds: 1\ntune: {trials: 3, search: [nothing.*]}", "study.yaml:13: tune: 'nothing.*' matches no hyperparameter of these strategies; known: linear_probe.lr"),
    edited("a range upside down", "seeds: 1", "seeds: 1\ntune: {trials: 3, ranges: {linear_probe: {lr: [1, 0.1]}}}", "study.yaml:13: tune: linear_probe.lr: [1, 0.1] is no range on a logarithmic scale"),
    # overrides
    overridden("an override without a value", "train.epochs", "--set train.epochs: expected key=value, such as train.epochs=5"),
    overridden("an override of nothing", "=5", "study.yaml:2: study: unknown field"),
    overridden("an override beyond a list", "datasets.7.label=x", "--set datasets.7.label=x: the study has no field 'datasets.7.label' to set"),
    overridden("an override below a word", "name.x=1", "--set name.x=1: the study has no field 'name.x' to set"),
    overridden("an index in superscript", "datasets.\u00b2.label=x", "--set datasets.².label=x: the study has no field 'datasets.².label' to set"),
    overridden("an override that is no YAML", "seeds=[1", "--set seeds='[1': expected ',' or ']', but got '<stream end>'"),
    overridden("an alias in an override", "seeds=*a", "--set seeds='*a': aliases (*name) are not allowed in a study; write the values out"),
    overridden("a day that there is not, in an override", "seeds=2020-99-99", "study.yaml:12: seeds: expected how many seeds, a list of them, or {until: decided, at_most: 20} (is '2020-99-99')"),
    overridden("5,000 brackets in an override", "seeds=" + "[" * 5000, "--set seeds='[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[...[[[[[[': more than 20 lists and mappings within each other"),
    overridden("infinity in an override", "backbones.0.kwargs.x=.inf", "--set backbones.0.kwargs.x='.inf': '.inf' is no number that a run can be told by"),
]  # fmt: skip
