"""The command line, `exeunt` or `python -m exeunt`.

Commands import what they need when they run: `exeunt --help` does not wait for torch.
"""

from __future__ import annotations

import io
import sys
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import exeunt
from exeunt.cli.bench import bench
from exeunt.cli.calibrate import calibrate
from exeunt.cli.demo import demo
from exeunt.cli.evaluate import evaluate
from exeunt.cli.export import export
from exeunt.cli.info import info
from exeunt.cli.networks import networks
from exeunt.cli.predict import predict
from exeunt.cli.profile import profile
from exeunt.cli.push import pull, push
from exeunt.cli.record import record
from exeunt.cli.render import forget_notes, note, say_error, warn
from exeunt.cli.report import report
from exeunt.cli.score import score
from exeunt.cli.train import train
from exeunt.cli.verify import verify
from exeunt.cli.vww import vww
from exeunt.errors import ExeuntError, ExeuntNote, ExeuntWarning


class Commands(TyperGroup):
    """Turns what can go wrong for a user into one line on stderr and an exit status.

    2 is for input that cannot be used, 1 for a file that cannot be read or written, 130 for
    Ctrl-C. A reader that went away (`| head`) is left to typer, which ends quietly.
    """

    def invoke(self, ctx: Any) -> Any:
        if isinstance(sys.stdout, io.TextIOWrapper):  # file names may hold any bytes
            sys.stdout.reconfigure(errors="backslashreplace")
        forget_notes()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always", ExeuntWarning)
                warnings.showwarning = _show_warning
                result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:  # such as a WriteError
            file = f"{error.filename}: " if error.filename else ""
            say_error(f"{file}{error.strerror or error}")
            raise typer.Exit(1) from error
        except ExeuntError as error:
            say_error(error)
            raise typer.Exit(2) from error
        except KeyboardInterrupt as error:
            typer.echo("exeunt: interrupted", err=True)
            raise typer.Exit(130) from error
        return result


_show_others = warnings.showwarning


def _show_warning(
    message: Warning | str, category: type[Warning], *where: Any, **rest: Any
) -> None:
    """What exeunt warns of is told in one line; other libraries' warnings as ever."""
    if issubclass(category, ExeuntNote):
        note(str(message))
    elif issubclass(category, ExeuntWarning):
        warn(str(message))
    else:
        _show_others(message, category, *where, **rest)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"exeunt {exeunt.__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root(
    modules: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            metavar="MODULE",
            show_default=False,
            help="Import your own code first, a module's name or a .py file; several times if need "
            "be. What it registers is then known by name.",
        ),
    ] = None,
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Image classifiers that leave early.

    MODEL is a run folder, a weights file, a name from `exeunt list`, hf:owner/name or onnx:FILE.
    """
    if modules:
        from exeunt.own_code import import_own

        for module in modules:
            import_own(module)


app.command("list")(networks)
app.command("info")(info)
app.command("train")(train)
app.command("record")(record)
app.command("eval")(evaluate)
app.command("calibrate")(calibrate)
app.command("predict")(predict)
app.command("score")(score)
app.command("profile")(profile)
app.command("bench")(bench)
app.command("demo")(demo)
app.command("report")(report)
app.command("export")(export)
app.command("verify")(verify)
app.command("push")(push)
app.command("pull")(pull)
app.command("vww")(vww)


def main() -> None:
    """Runs the command line on `sys.argv` and leaves with its exit status."""
    app(prog_name="exeunt")
