#!/usr/bin/env python3
"""Tests the scripts with the release's names: the command lines that they make (a substitute for
btm records them), and the results of the real program."""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
SCRIPTS = HERE.parent.parent / "scripts"
GOLDEN = HERE.parent / "golden"
BTM = None  # set by main()

# Records its arguments as a line of JSON, and answers as `btm branch`, `btm release` and `btm
# ensemble-eval` do.
STAND_IN = """#!{python}
import json, os, subprocess, sys
with open(os.environ["RECORD"], "a") as record:
    record.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1] == "branch":
    print(os.environ.get("BRANCH_ANSWER", "src_filename /seed/checkpoint_1_50.pt"))
if sys.argv[1] == "release":
    sys.exit(subprocess.run(["{btm}", *sys.argv[1:]]).returncode)
if sys.argv[1] == "ensemble-eval":
    path = sys.argv[sys.argv.index("--results-path") + 1]
    with open(path, "w") as out:
        out.write('{{"ppl": 9.0, "posterior": [1, 0], "exp_avg_posterior": [0.5, 0.5]}}\\n')
        out.write('{{"ppl": 8.0, "posterior": [1, 0], "exp_avg_posterior": [0.65, 0.35]}}\\n')
"""


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="btm-scripts-")
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        self.record = self.dir / "record"
        self.environment = {**os.environ, "RECORD": str(self.record), "OMP_NUM_THREADS": "1"}

    def use_stand_in(self):
        program = self.dir / "btm"
        program.write_text(STAND_IN.format(python=sys.executable, btm=BTM))
        program.chmod(0o755)
        self.environment["BTM"] = str(program)

    def use_btm(self):
        self.environment["BTM"] = str(BTM)

    def run_script(self, *arguments, status=0):
        """Runs a script from the folder of the scripts, as the README does. Returns standard
        output, or standard error after a failure. No flag that the scripts add may be without
        effect."""
        words = [
            "bash" if str(arguments[0]).endswith(".sh") else sys.executable,
            *map(str, arguments),
        ]
        done = subprocess.run(
            words, cwd=SCRIPTS, env=self.environment, capture_output=True, text=True, timeout=300
        )
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertNotIn("without effect", done.stderr)
        return done.stderr if status else done.stdout

    def data(self, name, *domains):
        """A folder with a folder for each domain."""
        for domain in domains:
            (self.dir / name / domain).mkdir(parents=True, exist_ok=True)
        return str(self.dir / name)

    def recorded(self):
        """The command lines so far, without those of `btm release`."""
        lines = (
            [json.loads(line) for line in self.record.read_text().splitlines()]
            if self.record.exists()
            else []
        )
        return [line for line in lines if line[0] != "release"]


def flags_of(line):
    """{"--flag": value}. The last use of a flag counts, as in btm."""
    flags = {}
    for i, word in enumerate(line):
        if word.startswith("--"):
            followed = i + 1 < len(line) and not line[i + 1].startswith("--")
            flags[word] = line[i + 1] if followed else True
    return flags


class BtmTrain(Case):
    # The arguments of the README, in the README's order.
    ARGUMENTS = {
        "name": "project",
        "gpus": "1",
        "arch": "transformer_lm_gpt3_small",
        "experiment": "dense",
        "data": None,
        "domains": "law",
        "init": "None",
        "save": "/models",
        "subfolder": "None",
        "share": "None",
        "update": "None",
        "reset": "False",
        "updates": "80000",
        "update_freq": "32",
        "lr": "5e-4",
        "save_interval": "2000",
        "port": "55555",
        "wandb": "wandb",
        "code": "/code",
        "seed": "1",
        "run": "run",
    }

    def setUp(self):
        super().setUp()
        self.use_stand_in()

    def train(self, *more, status=0, script="btm_train.sh", **changes):
        self.assertLessEqual(set(changes), set(self.ARGUMENTS))
        arguments = {**self.ARGUMENTS, "data": self.data("data", "law"), **changes}
        if "domains" in changes:
            self.data("data", *changes["domains"].split(","))
        out = self.run_script(
            f"btm_shell_scripts/{script}", *arguments.values(), *more, status=status
        )
        return out if status else self.recorded()

    def test_one_domain_is_trained_with_the_releases_settings(self):
        (line,) = self.train()
        self.assertEqual(line[:2], ["train", f"{self.dir}/data/law"])
        flags = flags_of(line)
        for flag, value in {
            "--task": "language_modeling",
            "--criterion": "cross_entropy",
            "--valid-subset": "valid_law",
            "--arch": "transformer_lm_gpt3_small",
            "--sample-break-mode": "none",
            "--tokens-per-sample": "1024",
            "--max-sentences": "2",
            "--max-sentences-valid": "2",
            "--lr-scheduler": "polynomial_decay",
            "--lr": "5e-4",
            "--warmup-updates": "6400",
            "--total-num-update": "80000",
            "--max-update": "80000",
            "--update-freq": "32",
            "--optimizer": "adam",
            "--adam-betas": "(0.9, 0.95)",
            "--adam-eps": "10e-8",
            "--weight-decay": "0.1",
            "--clip-norm": "0.1",
            "--validate-interval-updates": "4000",
            "--save-interval-updates": "2000",
            "--keep-interval-updates": "-1",
            "--no-epoch-checkpoints": True,
            "--skip-invalid-size-inputs-valid-test": True,
            "--required-batch-size-multiple": "1",
            "--save-dir": "/models/project/run",
            "--log-format": "simple",
            "--log-interval": "50",
            "--seed": "1",
            "--wandb-project": "wandb",
            "--fp16": True,
        }.items():
            self.assertEqual(flags.get(flag), value, flag)
        for flag in (
            "--distributed-world-size",
            "--reset-dataloader",
            "--unbalanced",
            "--desynchronize",
            "--train-domains",
        ):
            self.assertNotIn(flag, flags)

    def test_several_domains_are_balanced_over_the_ranks(self):
        (line,) = self.train(domains="law,med,cs", gpus="3")
        self.assertEqual(line[:2], ["train", f"{self.dir}/data"])
        flags = flags_of(line)
        self.assertEqual(flags["--task"], "multidomain_language_modeling")
        self.assertEqual(flags["--criterion"], "desynchronized_cross_entropy")
        self.assertEqual(flags["--train-domains"], "law,med,cs")
        self.assertEqual(flags["--eval-domains"], "law,med,cs")
        self.assertEqual(flags["--valid-subset"], "valid_law,valid_med,valid_cs")
        self.assertEqual(flags["--distributed-world-size"], "3")
        self.assertEqual(flags["--distributed-port"], "55555")

    def test_unbalanced_concatenates(self):
        (line,) = self.train(domains="law,med", experiment="unbalanced_dense")
        self.assertIn("--unbalanced", line)

    def test_validation_and_precision_follow_the_architecture(self):
        for arch, interval, precision in (
            ("transformer_lm_gpt3_medium", "2000", "--fp16"),
            ("transformer_lm_gpt3_large", "1000", "--memory-efficient-fp16"),
            ("transformer_lm_gpt3_xl", "500", "--memory-efficient-fp16"),
            ("transformer_lm", "6000", "--fp16"),
        ):
            flags = flags_of(self.train(arch=arch)[-1])
            self.assertEqual(flags["--validate-interval-updates"], interval)
            self.assertIn(precision, flags)

    def test_demix_passes_its_flags_with_groups_of_ranks(self):
        domains = ",".join("abcdefgh")
        eight = {"8": "0 1 2 3 4 5 6 7", "16": "0,1 2,3 4,5 6,7 8,9 10,11 12,13 14,15"}
        for gpus, groups in eight.items():
            line = self.train(experiment="demix", domains=domains, gpus=gpus)[-1]
            flags = flags_of(line)
            self.assertEqual(flags["--data-parallel-groups"], groups)
            self.assertEqual(flags["--sync-type"], "manual")
            self.assertEqual(flags["--untie-parameters"], "feedforward")
            for flag in ("--desynchronize", "--domain-parallel", "--pad-to-fixed-length"):
                self.assertIs(flags[flag], True)
        groups = flags_of(self.train(experiment="demix", domains=domains, gpus="128")[-1])[
            "--data-parallel-groups"
        ].split(" ")
        self.assertEqual((len(groups), groups[1]), (16, "8,9,10,11,12,13,14,15"))
        self.assertEqual(
            flags_of(self.train(experiment="demix", domains="a,b", gpus="4")[-1])[
                "--data-parallel-groups"
            ],
            "0,1 2,3",
        )
        self.assertIn(
            "not a multiple", self.train(experiment="demix", domains="a,b", gpus="3", status=2)
        )

    def test_a_branch_copies_first_and_is_saved_beside_its_project(self):
        branch, train = self.train(
            experiment="branch", init="/seeds", subfolder=".", update="40000", reset="True"
        )
        self.assertEqual(
            branch,
            [
                "branch",
                "--old-folder",
                "/seeds",
                "--new-folder",
                "/models",
                "--subfolder",
                ".",
                "--new-subfolder",
                "run",
                "--phase-one-update-num",
                "40000",
            ],
        )
        flags = flags_of(train)
        self.assertEqual(flags["--save-dir"], "/models/run")
        self.assertIn("--reset-dataloader", flags)

    def test_a_branch_at_a_share(self):
        branch, _ = self.train(experiment="branch", init="/seeds", subfolder="one", share="0.5")
        self.assertEqual(branch[-2:], ["--phase-one-ratio", "0.5"])

    def test_a_branch_that_is_there_already_resets_nothing(self):
        self.environment["BRANCH_ANSWER"] = "False"
        _, train = self.train(
            experiment="branch", init="/seeds", subfolder=".", update="-1", reset="True"
        )
        self.assertNotIn("--reset-dataloader", train)

    def test_a_branch_of_demix_names_the_domain(self):
        (self.dir / "seed").mkdir()
        (self.dir / "seed" / "checkpoint_last-shared.pt").write_text("")
        branch, _ = self.train(
            experiment="branch", init=str(self.dir), subfolder="seed", update="-1", domains="med"
        )
        self.assertEqual(branch[-2:], ["--domain-id", "med"])

    def test_branch_train_is_btm_train_branching(self):
        branch, train = self.train(
            script="branch_train.sh", init="/seeds", subfolder=".", update="-1"
        )
        self.assertEqual((branch[0], train[0]), ("branch", "train"))
        self.assertIn("INIT_FOLDER", self.train(script="branch_train.sh", status=2))

    def test_none_takes_the_releases_value(self):
        (line,) = self.train(
            arch="transformer_lm_gpt3_medium",
            gpus="None",
            updates="None",
            update_freq="None",
            lr="None",
            save_interval="None",
        )
        flags = flags_of(line)
        self.assertEqual(
            [
                flags[flag]
                for flag in (
                    "--distributed-world-size",
                    "--max-update",
                    "--update-freq",
                    "--save-interval-updates",
                )
            ],
            ["32", "32000", "32", "4000"],
        )
        self.assertEqual(float(flags["--lr"]), 5e-4)
        branch = flags_of(
            self.train(experiment="branch", init="/seeds", subfolder=".", update="-1", gpus="None")[
                -1
            ]
        )
        self.assertEqual(branch["--distributed-world-size"], "2")

    def test_more_flags_come_last_and_win(self):
        (line,) = self.train("--tokens-per-sample", "128")
        self.assertEqual(flags_of(line)["--tokens-per-sample"], "128")

    def test_folders_may_have_spaces(self):
        (line,) = self.train(data=self.data("my data", "law"), save="/my models", name="a project")
        self.assertEqual(line[1], f"{self.dir}/my data/law")
        self.assertEqual(flags_of(line)["--save-dir"], "/my models/a project/run")

    def test_mistakes_are_named(self):
        self.assertIn(
            "20 arguments, expected 21",
            self.run_script("btm_shell_scripts/btm_train.sh", *["None"] * 20, status=2),
        )
        for changes, phrase in (
            ({"gpus": "two"}, "NUM_GPUS 'two'"),
            ({"updates": "1e5"}, "NUM_UPDATES '1e5'"),
            ({"arch": "gpt2"}, "ARCH 'gpt2'"),
            ({"experiment": "sparse"}, "EXPERIMENT 'sparse'"),
            ({"experiment": "branch"}, "needs INIT_FOLDER"),
            ({"init": "/s", "share": "0.5", "update": "3"}, "only one of"),
            ({"init": "/s"}, "one of SEED_PHASE_SHARE"),
            ({"arch": "transformer_lm", "lr": "None"}, "LR is None"),
        ):
            self.assertIn(phrase, self.train(status=2, **changes))
        self.assertEqual(self.recorded(), [])

    def test_a_mistyped_folder_leaves_nothing_behind(self):
        for changes, phrase in (
            ({"data": "/nowhere"}, "/nowhere: no such folder"),
            ({"data": self.data("other", "med")}, "other: no folder 'law' for this domain"),
        ):
            for branch in (
                {},
                {"experiment": "branch", "init": "/seeds", "subfolder": ".", "update": "-1"},
            ):
                self.assertIn(phrase, self.train(status=1, **changes, **branch))
        self.assertEqual(self.recorded(), [])

    def test_help_is_printed(self):
        self.assertIn(
            "SEED_PHASE_UPDATE_NUM", self.run_script("btm_shell_scripts/btm_train.sh", "--help")
        )


class EnsembleEval(Case):
    def setUp(self):
        super().setUp()
        self.use_stand_in()
        self.folder = self.dir / "expert"
        self.folder.mkdir()
        self.models = [self.folder / "checkpoint_last.pt", self.dir / "checkpoint_7.pt"]
        for model in self.models:
            model.write_text("")
        self.both = f"{self.folder}:{self.models[1]}"
        self.law = self.data("data", "law")

    def test_the_posterior_on_validation_data_is_the_prior_on_test_data(self):
        results = self.dir / "results"
        self.run_script(
            "btm_shell_scripts/ensemble_eval.sh",
            2,
            self.law,
            self.both,
            "law",
            "cached_prior",
            results,
        )
        valid, test = map(flags_of, self.recorded())
        self.assertEqual(valid["--path"], ":".join(map(str, self.models)))
        self.assertEqual(
            (valid["--ensemble-type"], valid["--max-samples"], valid["--target-eval"]),
            ("updating_prior", "100", "valid_law"),
        )
        self.assertEqual(
            (test["--ensemble-type"], test["--precomputed-prior"], test["--target-eval"]),
            ("cached_prior", "0.65,0.35", "test_law"),
        )
        self.assertNotIn("--max-samples", test)
        for flags in (valid, test):
            self.assertEqual(flags["--task"], "multidomain_language_modeling")
            self.assertEqual(flags["--eval-domains"], "law")
            self.assertEqual(flags["--tokens-per-sample"], "1024")
            self.assertEqual(flags["--batch-size"], "2")
        self.assertEqual(
            sorted(path.name for path in results.iterdir()),
            ["dev_posteriors.jsonl", "test_results.txt"],
        )

    def test_top_k_is_the_seventh_argument(self):
        self.run_script(
            "btm_shell_scripts/ensemble_eval.sh",
            2,
            self.law,
            self.both,
            "law",
            "cached_prior",
            self.dir / "r",
            1,
        )
        self.assertEqual(flags_of(self.recorded()[1])["--eval-topk"], "1")

    def test_mistakes_are_named(self):
        script = "btm_shell_scripts/ensemble_eval.sh"
        results = self.dir / "deep/results"
        self.assertIn(
            "5 arguments",
            self.run_script(script, 2, self.law, self.both, "law", "cached_prior", status=2),
        )
        for arguments, status, phrase in (
            (
                (3, self.law, self.both, "law", "cached_prior"),
                2,
                "NUM_EXPERTS is '3', but MODELS are 2",
            ),
            (
                (2, self.law, self.both, "law", "cached_priors"),
                2,
                "ENSEMBLE_TYPE 'cached_priors', expected one of cached_prior",
            ),
            ((2, self.law, self.both, "lwa", "cached_prior"), 1, "no folder 'lwa' for this domain"),
            ((2, "/nowhere", self.both, "law", "cached_prior"), 1, "/nowhere: no such folder"),
            (
                (2, self.law, f"{self.folder}:/nowhere", "law", "cached_prior"),
                1,
                "/nowhere: no such file",
            ),
        ):
            self.assertIn(phrase, self.run_script(script, *arguments, results, status=status))
            self.assertFalse(results.parent.exists())
        self.assertEqual(self.recorded(), [])
        # Errors that the scripts do not check for.
        self.use_btm()
        self.assertIn(
            "dict.txt: cannot open",
            self.run_script(
                script, 2, self.law, self.both, "law", "cached_prior", results, status=1
            ),
        )
        self.assertFalse(results.parent.exists())

    def test_the_types_are_those_of_btm(self):
        self.use_btm()
        script = ("btm_shell_scripts/ensemble_eval.sh", 2, self.law, self.both, "law", "no_type")
        found = self.run_script(*script, self.dir / "results", status=2)
        command = [BTM, "ensemble-eval", self.law, "--path", self.both]
        asked = subprocess.run(command, capture_output=True, text=True, check=False).stderr
        self.assertIn("--ensemble-type is missing, expected ", asked)
        self.assertEqual(
            found.strip().split("expected one of ")[1].split(", "),
            re.split(", | or ", asked.strip().split("expected ")[1]),
        )


class EvalPipeline(Case):
    def test_takes_four_and_five_arguments(self):
        self.use_stand_in()
        law = self.data("data", "law")
        for name in ("checkpoint_last.pt", "checkpoint_best.pt"):
            (self.dir / name).write_text("")
        self.run_script("btm_shell_scripts/eval_pipeline.sh", law, self.dir, "test", "law")
        self.run_script(
            "btm_shell_scripts/eval_pipeline.sh",
            law,
            self.dir,
            "checkpoint_best.pt",
            "valid",
            "law",
        )
        four, five = map(flags_of, self.recorded())
        self.assertEqual(
            (four["--path"], four["--gen-subset"]), (f"{self.dir}/checkpoint_last.pt", "test_law")
        )
        self.assertEqual(
            (five["--path"], five["--gen-subset"]), (f"{self.dir}/checkpoint_best.pt", "valid_law")
        )
        self.assertEqual(four["--results-path"], f"{self.dir}/evals/law/test_results.txt")
        self.assertIn(
            "3 arguments",
            self.run_script("btm_shell_scripts/eval_pipeline.sh", law, self.dir, "test", status=2),
        )

    def test_a_mistyped_name_leaves_nothing_behind(self):
        self.use_btm()
        model = self.dir / "model"
        shutil.copytree(GOLDEN / "checkpoints" / "elm_perl", model)
        script, data = "btm_shell_scripts/eval_pipeline.sh", GOLDEN / "data-bin"
        for arguments, phrase in (
            ((data, self.dir / "modle", "test", "perl"), "modle/checkpoint_last.pt: no such file"),
            (
                (data, model, "checkpoint_lats.pt", "test", "perl"),
                "checkpoint_lats.pt: no such file",
            ),
            ((data, model, "test", "prel"), "no folder 'prel'"),
            ((self.dir / "dat", model, "test", "perl"), "dat: no such folder"),
            ((data, model, "tset", "perl"), "no split 'tset_perl'"),
        ):
            self.assertIn(phrase, self.run_script(script, *arguments, status=1))
            self.assertEqual(
                [path.name for path in self.dir.rglob("*")], ["model", "checkpoint_last.pt"]
            )

    def test_evaluates_a_model(self):
        self.use_btm()
        model = self.dir / "model"
        shutil.copytree(GOLDEN / "checkpoints" / "elm_perl", model)
        out = self.run_script(
            "btm_shell_scripts/eval_pipeline.sh",
            GOLDEN / "data-bin",
            model,
            "test",
            "perl",
            "--tokens-per-sample",
            "128",
        )
        results = json.loads((model / "evals" / "perl" / "test_results.txt").read_text())
        self.assertIn(f"{results['loss_base2']:.4f}"[:5], out)
        self.assertGreater(results["tokens"], 1000)


class ReadmeRun(Case):
    """Runs the README's commands with a small model: seed, two branches, evaluation, ensemble,
    average."""

    SMALL = [
        "--decoder-layers",
        "1",
        "--decoder-embed-dim",
        "32",
        "--decoder-ffn-embed-dim",
        "64",
        "--decoder-attention-heads",
        "2",
        "--tokens-per-sample",
        "64",
        "--max-valid-steps",
        "1",
    ]

    def setUp(self):
        super().setUp()
        self.use_btm()
        self.data, self.models = self.dir / "data", self.dir / "models"
        for domain in ("fortunes", "perl"):
            (self.data / domain).mkdir(parents=True)
            shutil.copy(GOLDEN / "data-bin" / "dict.txt", self.data / domain)
            for extension in ("bin", "idx"):
                for split in ("valid", "test"):
                    shutil.copy(
                        GOLDEN / "data-bin" / domain / f"{split}_{domain}.{extension}",
                        self.data / domain,
                    )
                shutil.copy(
                    GOLDEN / "data-bin" / domain / f"valid_{domain}.{extension}",
                    self.data / domain / f"train.{extension}",
                )
        shutil.copy(GOLDEN / "data-bin" / "dict.txt", self.data)

    def train(self, experiment, domains, init, save, subfolder, updates, run):
        branched_at, reset = ("None", "False") if init == "None" else ("2", "True")
        return self.run_script(
            "btm_shell_scripts/btm_train.sh",
            "project",
            1,
            "transformer_lm_gpt3_small",
            experiment,
            self.data,
            domains,
            init,
            save,
            subfolder,
            "None",
            branched_at,
            reset,
            updates,
            1,
            "2e-3",
            2,
            55555,
            "project",
            SCRIPTS,
            1,
            run,
            *self.SMALL,
        )

    def saved(self, folder):
        return sorted(path.name for path in folder.glob("checkpoint_1_*.pt"))

    def test_runs_as_written_and_goes_on_when_run_again(self):
        seed, experts = self.models / "project" / "seed", self.models / "experts"
        self.train("dense", "fortunes,perl", "None", self.models, "None", 4, "seed")
        self.assertEqual(self.saved(seed), ["checkpoint_1_2.pt", "checkpoint_1_4.pt"])
        self.train("dense", "fortunes,perl", "None", self.models, "None", 6, "seed")
        self.assertEqual(
            self.saved(seed), ["checkpoint_1_2.pt", "checkpoint_1_4.pt", "checkpoint_1_6.pt"]
        )
        for domain in ("fortunes", "perl"):
            out = self.train("branch", domain, seed.parent, experts, "seed", 4, domain)
            self.assertIn(f"src_filename {seed}/checkpoint_1_2.pt", out)
            self.assertEqual(
                self.saved(experts / domain), ["checkpoint_1_4.pt"]
            )  # 3 and 4: it continued from 2
        self.assertIn(
            "False", self.train("branch", "perl", seed.parent, experts, "seed", 6, "perl")
        )
        self.assertEqual(self.saved(experts / "perl"), ["checkpoint_1_4.pt", "checkpoint_1_6.pt"])

        small = self.SMALL[8:10]
        self.run_script(
            "btm_shell_scripts/eval_pipeline.sh",
            self.data,
            experts / "perl",
            "test",
            "perl",
            *small,
        )
        self.assertTrue((experts / "perl" / "evals" / "perl" / "test_results.txt").is_file())
        paths, results = f"{experts}/fortunes:{experts}/perl", self.dir / "results"
        self.run_script(
            "btm_shell_scripts/ensemble_eval.sh",
            2,
            self.data,
            paths,
            "perl",
            "cached_prior",
            results,
            *small,
        )
        for name in ("dev_posteriors.jsonl", "test_results.txt"):
            posterior = json.loads((results / name).read_text().splitlines()[-1])[
                "exp_avg_posterior"
            ]
            self.assertAlmostEqual(sum(posterior), 1, places=5)
        self.run_script(
            "btm_utils/average.py",
            "--output-dir",
            self.dir / "average",
            "--weights",
            "0.1,0.9",
            "--model-files",
            paths,
        )
        self.run_script(
            "btm_shell_scripts/eval_pipeline.sh",
            self.data,
            self.dir / "average",
            "checkpoint_last.pt",
            "test",
            "perl",
            *small,
        )


class ScriptsElsewhere(Case):
    def release(self, folder, status=0):
        done = subprocess.run(
            [BTM, "release", "--scripts", folder], capture_output=True, text=True, check=False
        )
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stderr if status else done.stdout

    def test_they_run_from_where_they_are_put(self):
        code = self.dir / "my code"
        said = self.release(code)
        self.assertIn(f"cd '{code}'; export BTM_CODE_PATH=$PWD", said)
        self.assertEqual(
            sorted(path.name for path in code.iterdir()), ["btm", "btm_shell_scripts", "btm_utils"]
        )
        model = self.dir / "model"
        shutil.copytree(GOLDEN / "checkpoints" / "elm_perl", model)
        environment = {name: value for name, value in self.environment.items() if name != "BTM"}
        line = (
            f'cd "$1"; export BTM_CODE_PATH=$PWD; bash btm_shell_scripts/eval_pipeline.sh '
            f"{GOLDEN}/data-bin {model} test perl --tokens-per-sample 128 && python3 "
            f"btm_utils/average.py --help"
        )
        done = subprocess.run(
            ["bash", "-c", line, "bash", code],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Perplexity", done.stdout)

    def test_what_is_there_stays(self):
        (self.dir / "btm_utils").mkdir()
        self.assertIn("btm_utils: exists, expected a folder", self.release(self.dir, status=1))
        self.assertEqual([path.name for path in self.dir.iterdir()], ["btm_utils"])
        (self.dir / "file").write_text("")
        self.assertIn("file/code", self.release(self.dir / "file" / "code", status=1))


class Utilities(Case):
    def test_average_writes_the_releases_average(self):
        self.use_btm()
        files = ":".join(
            str(GOLDEN / "checkpoints" / f"elm_{domain}")
            for domain in ("fortunes", "jargon", "perl", "politics")
        )
        self.run_script(
            "btm_utils/average.py",
            "--output-dir",
            self.dir / "out",
            "--weights",
            "0.25,0.25,0.25,0.25",
            "--model-files",
            files,
        )
        self.assertTrue((self.dir / "out" / "checkpoint_last.pt").is_file())
        self.assertIn(
            "expected 1",
            self.run_script(
                "btm_utils/average.py",
                "--output-dir",
                self.dir / "out",
                "--weights",
                "0.25,0.25,0.25,0.26",
                "--model-files",
                files,
                status=2,
            ),
        )

    def test_branching_tells_what_it_took(self):
        self.use_btm()
        words = [
            "btm_utils/branching_checkpoint_utils.py",
            "--old-folder",
            GOLDEN / "checkpoints",
            "--new-folder",
            self.dir,
            "--subfolder",
            "seed",
            "--new-subfolder",
            "run",
            "--phase-one-ratio",
            "0.9",
        ]
        self.assertEqual(
            self.run_script(*words), f"src_filename {GOLDEN}/checkpoints/seed/checkpoint_1_100.pt\n"
        )
        self.assertEqual(self.run_script(*words), "False\n")

    def test_launchers_find_a_program_that_is_not_there(self):
        self.environment["BTM"] = "/nowhere/btm"
        self.assertIn(
            "found no program btm", self.run_script("btm_utils/average.py", "--help", status=1)
        )
        self.assertIn(
            "/nowhere/btm: no such program",
            self.run_script("btm_shell_scripts/eval_pipeline.sh", "a", "b", "c", "d", status=1),
        )

    def test_mix_eval_names_the_models_of_an_ensemble(self):
        for run in ("MODEL_b", "MODEL_a", "OTHER", "mod"):
            (self.dir / run).mkdir()
            (self.dir / run / "checkpoint_last.pt").write_text("")
        words = [
            "btm_utils/mix_eval_utils.py",
            "--model-folder",
            self.dir,
            "--model-type",
            "mod",
            "--regex-str",
            "MODEL.*",
            "--experts-to-use",
            "0,1",
        ]
        self.assertEqual(
            self.run_script(*words, "--id-str", "law").split(),
            [
                f"{self.dir}/evals/MODEL/law",
                f"{self.dir}/MODEL_a/checkpoint_last.pt:{self.dir}/MODEL_b/checkpoint_last.pt",
            ],
        )
        self.assertIn("no such file", self.run_script(*words, "--checkpoint-ids", "1_50", status=1))
        self.assertIn("2 runs match", self.run_script(*words[:-1], "0,5", status=1))

    def test_mix_eval_answers_nonsense_in_one_line(self):
        (self.dir / "run").mkdir()
        (self.dir / "run" / "checkpoint_last.pt").write_text("")
        words = ["btm_utils/mix_eval_utils.py", "--model-folder", self.dir, "--model-type", "mod"]
        long = "x" * 300
        for more, status, phrase in (
            (["--experts-to-use", "9" * 18], 1, "1 runs match"),
            (["--experts-to-use", "1e5"], 2, "expected numbers"),
            (["--experts-to-use", "-1"], 2, "negative"),
            (["--experts-to-use", "9" * 5000], 2, "expected numbers"),
            (["--regex-str", "a{" + "9" * 18 + "}"], 2, "--regex-str"),
            (["--experts-to-use", "0", "--checkpoint-ids", long], 1, "name too long"),
            (["--experts-to-use", "3", "--checkpoint-ids", "1,2"], 1, "expert 3 needs 4"),
            (["--model-folder", long], 2, "no such folder"),
        ):
            err = self.run_script(*words, *more, status=status)
            self.assertIn(phrase, err)
            self.assertNotIn("Traceback", err)

    def test_mix_eval_names_the_ranks_of_demix(self):
        for rank in range(16):
            (self.dir / f"checkpoint_last-rank-{rank}.pt").write_text("")
        out = self.run_script(
            "btm_utils/mix_eval_utils.py",
            "--model-folder",
            self.dir,
            "--model-type",
            "demix",
            "--experts-to-use",
            "0,7",
        )
        self.assertEqual(
            out.split()[1],
            f"{self.dir}/checkpoint_last-rank-0.pt:{self.dir}/checkpoint_last-rank-14.pt",
        )


def main():
    global BTM
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--btm", required=True, type=pathlib.Path, help="the program")
    options, rest = parser.parse_known_args()
    BTM = options.btm.resolve()
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
