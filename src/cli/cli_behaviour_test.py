#!/usr/bin/env python3
"""The program as a user meets it: arguments, exit codes, streams, completion scripts.

    cli_behaviour_test.py PATH_OF_XIAOHU      (Python's standard library only)
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM = None


def run(*arguments, env=None, stdin=""):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("XIAOHU_", "HF_", "XDG_"))}
    environment.update(env or {})
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, env=environment, input=stdin, timeout=60)


class Usage(unittest.TestCase):
    def test_help_lists_every_command_and_each_teaches_by_example(self):
        top = run("--help")
        self.assertEqual(top.returncode, 0)
        self.assertEqual(run().stdout, top.stdout)
        commands = [line.split()[0] for line in top.stdout.splitlines() if line.startswith("  ") and line[2:3].islower()]
        commands = [c for c in commands if c != "xiaohu"]
        self.assertIn("completion", commands)
        for command in commands:
            own = run(command, "--help")
            self.assertEqual(own.returncode, 0, command)
            self.assertIn("Examples:", own.stdout, command)
            self.assertIn(f"xiaohu {command}", own.stdout, command)

    def test_version(self):
        answer = run("--version")
        self.assertEqual(answer.returncode, 0)
        self.assertRegex(answer.stdout, r"^xiaohu \d+\.\d+\.\d+\n$")

    def test_wrong_command_lines_exit_2_on_stderr_with_a_remedy(self):
        for arguments in (["nosuch"], ["completion"], ["completion", "cmd.exe"], ["completion", "bash", "--nosuch"]):
            answer = run(*arguments)
            self.assertEqual(answer.returncode, 2, arguments)
            self.assertEqual(answer.stdout, "", arguments)
            first, second = answer.stderr.splitlines()
            self.assertRegex(first, r"^xiaohu: [a-z ]+: .+[^.]$")
            self.assertRegex(second, r"^  See: xiaohu .*--help$")

    def test_a_mistyped_command_is_named_and_the_nearest_one_told(self):
        answer = run("genrate", "-p", "hi")
        self.assertEqual(answer.returncode, 2)
        self.assertEqual(answer.stderr.splitlines()[0], 'xiaohu: command line: there is no command "genrate"; did you mean generate?')

    def test_a_value_out_of_range_is_told_with_the_range(self):
        for arguments, message in (
            (["serve", "--port", "99999"], "serve: --port: Value 99999 not in range 0 to 65535"),
            (["generate", "--top-p", "2"], "generate: --top-p: Value 2 not in range 0 to 1"),
            (["generate", "--system", "x"], "generate: --system requires --chat"),
            (["logits", "--ids", "1,x", "--out", "x.npy"], 'logits: --ids: cannot read "1,x"'),
        ):
            answer = run(*arguments)
            self.assertEqual((answer.returncode, answer.stderr.splitlines()[0]), (2, "xiaohu: " + message))

    def test_an_id_that_is_missing_is_not_taken_for_0(self):
        for arguments in (["logits", "--out", "x.npy", "--ids", ""], ["tokenize", "--decode", ""]):
            answer = run(*arguments)
            self.assertEqual((answer.returncode, answer.stdout), (2, ""), arguments)
            self.assertIn("a number is missing", answer.stderr, arguments)

    def test_a_pull_that_brought_nothing_leaves_nothing(self):
        with tempfile.TemporaryDirectory() as home:
            answer = run("pull", "file:/nowhere/model.gguf", env={"XIAOHU_HOME": home})
            self.assertEqual(answer.returncode, 1)
            self.assertIn("/nowhere/model.gguf: cannot open: No such file", answer.stderr)
            self.assertEqual(len(answer.stderr.splitlines()), 2, answer.stderr)
            self.assertNotIn("unfinished", run("list", env={"XIAOHU_HOME": home}).stdout)


class Completion(unittest.TestCase):
    def test_bash_completes_commands_options_and_choices(self):
        script = run("completion", "bash").stdout
        check = script + """
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); COMPREPLY=(); _xiaohu; echo "${COMPREPLY[*]}"; }
try xiaohu comp
try xiaohu completion ''
try xiaohu completion --he
"""
        answer = subprocess.run(["bash", "-c", check], capture_output=True, text=True)
        self.assertEqual(answer.stdout.splitlines(), ["completion", "bash zsh fish", "--help"], answer.stderr)

    def test_zsh_and_fish_scripts_parse_where_those_shells_are_installed(self):
        for shell, check in (("zsh", ["-n"]), ("fish", ["--no-execute"])):
            script = run("completion", shell)
            self.assertEqual(script.returncode, 0)
            self.assertIn("completion", script.stdout)
            if shutil.which(shell):
                with tempfile.TemporaryDirectory() as folder:
                    path = pathlib.Path(folder) / "script"
                    path.write_text(script.stdout)
                    parsed = subprocess.run([shell, *check, path], capture_output=True, text=True)
                    self.assertEqual((parsed.returncode, parsed.stderr), (0, ""))


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=2)
