# SPDX-License-Identifier: Apache-2.0
"""The command line."""

import argparse
import json
import os
import sys

from testbed.process import BedError, settle

from . import metrics
from .commands import Failed
from .discover import DiscoverError
from .results import ResultError
from .tools import FetchError

EXAMPLES = """\
examples:
  kata-bench run --quick && kata-bench report     everything in two minutes, and a page of it
  kata-bench run                                  everything, in less than 15 minutes
  kata-bench run --only start,memory --via ctr    two groups, through containerd
  kata-bench run --runtime mine=/opt/bin/runc     one more runtime
  kata-bench report a.json b.json --out docs      one page of two results
  kata-bench compare a.json b.json                has it become slower? exit status 1 says so
  kata-bench figures --only oci                   this project's own figures, as SPECIFICATION.md has them
"""
GROUP_LIST = ", ".join(metrics.GROUPS)


def _run_parser(commands):
    run = commands.add_parser(
        "run", help="measure the runtimes that are here",
        description="Measures the runtimes that are here side by side, by turns in random order. Takes "
                    "what is absent of runc, crun and runsc from packages, unpacked beside the system. "
                    "Leaves nothing behind, also when it is interrupted, and keeps what was measured.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n  kata-bench run --quick\n  kata-bench run --only start,io --json\n"
               "  kata-bench run --via docker --runtimes runc,kata\n"
               "  kata-bench run --runtime mine=io.containerd.mine.v1 --via ctr\n")
    run.add_argument("--quick", action="store_true", help="less than 2 minutes instead of 15")
    run.add_argument("--only", metavar="GROUP,...", help=f"some groups of {GROUP_LIST}")
    run.add_argument("--via", choices=["oci", "ctr", "docker"], default="oci",
                     help="the front end: command lines (the default), containerd or Docker")
    run.add_argument("--runtime", action="append", default=[], metavar="NAME=BINARY|SHIM",
                     help="one more: a program with runc's command line, a shim, or a runtime type")
    run.add_argument("--runtimes", type=lambda text: text.split(","), metavar="NAME,...",
                     help="only these of runc, crun, runsc, kata, kata-upstream, sysbox; none: only those "
                          "of --runtime")
    run.add_argument("--modes", type=lambda text: text.split(","), metavar="MODE,...",
                     help="kata's modes: cold, template, warm (all that it has)")
    run.add_argument("--shared-roots", action="store_true",
                     help="kata's roots shared file by file (rootfs_layers = false)")
    run.add_argument("--rounds", type=int, default=0, help="rounds of each workload")
    run.add_argument("--minutes", type=float, help="time for all of it")
    run.add_argument("--seed", type=int, default=1, help="of the random order (1)")
    run.add_argument("--memory", type=int, default=256, help="MiB of kata's VMs (256)")
    run.add_argument("--containerd", default="1.6", choices=["1.6", "1.7", "2.1"],
                     help="which one is between, or belongs to the Docker that is")
    run.add_argument("--bin", type=os.path.abspath,
                     help="folder of kata's programs (build/release/bin, else as installed)")
    run.add_argument("--guest", type=os.path.abspath, help="folder of kata's kernel and initrd")
    run.add_argument("--no-fetch", dest="fetch", action="store_false",
                     help="only runtimes that the system has")
    run.add_argument("--output", metavar="FILE", help="the result (kata-bench-DATE.json here)")
    run.add_argument("--json", action="store_true", help="print the result too, for programs")
    run.add_argument("--debug", action="store_true", help="print where errors came from")


def _report_parser(commands):
    report = commands.add_parser(
        "report", help="make Markdown and a page of results",
        description="Makes Markdown and one self-contained HTML page of one or several results.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n  kata-bench report                       of the newest result here\n"
               "  kata-bench report oci.json docker.json --out docs --name comparison\n"
               "  kata-bench report --rules mine.toml\n")
    report.add_argument("results", nargs="*", metavar="RESULT.json",
                        help="results of kata-bench run (the newest kata-bench-*.json here)")
    report.add_argument("--rules", metavar="FILE", help="rules of the recommendations")
    report.add_argument("--out", default=".", metavar="FOLDER", help="where to write (here)")
    report.add_argument("--name", help="the files' name without .md and .html (as the first result)")
    report.add_argument("--json", action="store_true", help="print what the report says, for programs")


def _compare_parser(commands):
    compare = commands.add_parser(
        "compare", help="compare two results of the same machine",
        description="Compares each figure of B with that of A, and B with this project's promises. Exit "
                    "status 1 when a promise is broken, or a figure is worse by more than the threshold and "
                    "the interval leaves no doubt that it is worse.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n  kata-bench compare before.json after.json\n"
               "  kata-bench compare before.json after.json --threshold 1.3 --only start,exec\n"
               "  kata-bench compare after.json           the promises alone\n")
    compare.add_argument("before", metavar="A.json")
    compare.add_argument("after", metavar="B.json", nargs="?")
    compare.add_argument("--threshold", type=float, default=1.15,
                         help="how many times as bad counts as worse (1.15)")
    compare.add_argument("--only", metavar="GROUP,...", help="some groups")
    compare.add_argument("--promises", metavar="FILE",
                         help="what is promised (bench/promises.toml); none: nothing")
    compare.add_argument("--json", action="store_true")


def _figures_parser(commands, root):
    figures = commands.add_parser(
        "figures", help="this project's own figures, as SPECIFICATION.md has them",
        description="start: ctr run with kata and runc by turns, phases, memory of a sandbox, sizes. oci: "
                    "run, exec and state of the command lines, memory that execs leave. network: a "
                    "container beside a guest on a bare tap and runc. many: containers that idle beside "
                    "each other, start at once, or come and go for long. disks: root file systems that "
                    "are directories beside such that are disks. layers: the host's memory for containers "
                    "of one large image. Needs scripts/build.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n  kata-bench figures --only start\n"
               "  kata-bench figures --only oci --runs 3 --execs 200 --json\n"
               "  kata-bench figures --only many --containers 20 --cycles 100\n")
    figures.add_argument("--only", choices=["start", "oci", "network", "many", "disks", "layers"],
                         help="one group of figures")
    figures.add_argument("--json", action="store_true")
    figures.add_argument("--runs", type=int, default=5, help="containers for each median (5)")
    figures.add_argument("--execs", type=int, default=100, help="execs for each percentile (100)")
    figures.add_argument("--containers", type=int, default=100, help="many: that idle (100)")
    figures.add_argument("--at-once", type=int, default=50, help="many: starts at once (50)")
    figures.add_argument("--cycles", type=int, default=1000, help="many: that come and go (1000)")
    figures.add_argument("--readers", type=int, default=20, help="layers: containers of one image (20)")
    figures.add_argument("--memory", type=int, default=256, help="MiB of the VM (256)")
    figures.add_argument("--containerd", default="1.6", choices=["1.6", "1.7", "2.1"])
    figures.add_argument("--bin", type=os.path.abspath, default=f"{root}/build/release/bin")
    figures.add_argument("--guest", type=os.path.abspath, default=f"{root}/build/guest")


def parser(root):
    top = argparse.ArgumentParser(
        prog="kata-bench", description="Compares container runtimes on this machine: what they cost, what "
        "they isolate, and which to use for which workload.",
        formatter_class=argparse.RawDescriptionHelpFormatter, epilog=EXAMPLES)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _run_parser(commands)
    _report_parser(commands)
    _compare_parser(commands)
    _figures_parser(commands, root)
    return top


def main(program, root):
    """The exit status: 0 for success, 1 for failure, 2 for wrong usage."""
    if sys.argv[1:2] == ["--worker"]:
        from . import worker
        return worker.main(int(sys.argv[2]))
    if sys.argv[1:] == ["--dump-help"]:
        from . import help_tree
        print(json.dumps(help_tree.read(parser(root)), indent=1))
        return 0
    options = parser(root).parse_args()
    settle()
    if options.command == "run":
        from . import run_command as command
    elif options.command == "report":
        from . import report_command as command
    elif options.command == "compare":
        from . import compare as command
    else:
        from . import figures as command
    usage = getattr(command, "Usage", ())
    try:
        return command.main(options, program)
    except (BedError, DiscoverError, FetchError, ResultError, Failed, ValueError) as error:
        print(f"kata-bench: {error}", file=sys.stderr)
        return 2 if isinstance(error, (DiscoverError, ValueError)) else 1
    except usage as error:
        print(f"kata-bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("kata-bench: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
