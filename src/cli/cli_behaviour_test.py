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
