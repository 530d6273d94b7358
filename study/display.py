"""Progress on stderr: live bars on a terminal, plain lines otherwise."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from concrete_study.datasets.printing import for_terminal
from concrete_study.results.formats import counted, duration, plus_minus
from concrete_study.results.hyperparameters import describe
from concrete_study.results.records import Epoch, TrialRecord
from concrete_study.search.progress import SearchProgress
from concrete_study.study.interruption import raise_if_interrupted

# Seconds between lines without a terminal; later a tenth of the time so far, at most LINES_APART.
FIRST_LINES_APART, LINES_APART = 10.0, 300.0


def sparkline(values: Sequence[float]) -> str:
    """A curve as one line of text, scaled from its lowest to its highest value."""
    low, high = min(values), max(values)
    blocks = "▁▂▃▄▅▆▇█"
    return "".join(blocks[round(7 * (v - low) / ((high - low) or 1))] for v in values)


class SpeedColumn(ProgressColumn):
    """Images, or another unit, per second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """The speed; empty until it is measured."""
        return Text(f"{task.speed:.1f} {self._unit}/s" if task.speed else "")


class Display(SearchProgress):
    """Displays the progress of a search: bars on a terminal, otherwise one line per trial.

    Args:
        named: How an argument is written: as it is, or as the option of the command line.
    """

    def __init__(self, named: Callable[[str], str] = str) -> None:
        self._named = named
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._live = self.console.is_terminal
        self._best = Text()
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            speed_estimate_period=3600,  # durations of trials vary widely
        )
        self._view = Live(Group(self._bars, self._best), console=self.console)
        self._planned = self._planned_epochs = 0
        self._done = self._epochs = 0
        self._trials_bar: TaskID | None = None
        self._epochs_bar: TaskID | None = None
        self._curve: list[Epoch] = []
        self._workers: dict[str, str] = {}  # the trial of each worker

    def __enter__(self) -> "Display":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._view.stop()

    def log(self, message: str) -> None:
        """Prints one line."""
        self.console.print(for_terminal(message), markup=False)

    def counting(
        self, description: str, total: int, unit: str = "images"
    ) -> AbstractContextManager[Callable[[int], None]]:
        """Shows a bar while the block runs; without a terminal, a line every so often."""
        count = self._bar if self._live else self._silent
        return count(description, total, unit)

    @contextmanager
    def _bar(self, description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            SpeedColumn(unit),
            TimeRemainingColumn(),
        )
        # Not redirected: rows of predictions go to stdout, and the bar to stderr.
        with Progress(
            *columns, console=self.console, speed_estimate_period=300, redirect_stdout=False
        ) as progress:
            task = progress.add_task(for_terminal(description), total=total or None)

            def count(number: int) -> None:
                progress.advance(task, number)
                raise_if_interrupted()

            yield count

    @contextmanager
    def _silent(self, description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        from time import monotonic

        start, done = monotonic(), 0
        written = start
        first: tuple[float, int] | None = None  # time and units of the first batch, which compiles
        if total:
            self.log(f"{description}: {total} {unit} ...")

        def count(number: int) -> None:
            nonlocal done, written, first
            done += number
            raise_if_interrupted()
            now = monotonic()
            first = first or (now, done)
            apart = min(max(FIRST_LINES_APART, (now - start) / 10), LINES_APART)
            if now - written < apart or done == total:
                return
            written, left = now, ""
            if total and done > first[1]:
                rest = (now - first[0]) / (done - first[1]) * (total - done)
                left = f", about {duration(rest)} left"
            self.log(f"{description}: {done} {unit}{left}")

        yield count
        seconds = monotonic() - start
        if done:
            rate = done / seconds
            self.log(f"{description}: {done} {unit} in {seconds:.1f} s ({rate:.1f} {unit}/s)")

    def plan(self, trials: int, epochs: int, kept: Sequence[TrialRecord]) -> None:
        """Starts the bars of a search, including trials that an earlier run finished."""
        self._planned, self._planned_epochs, self._done = trials, epochs, len(kept)
        self._epochs = sum(record.epochs for record in kept)
        if self._live:
            self._trials_bar = self._bars.add_task("trials", total=trials, completed=self._done)
            self._epochs_bar = self._bars.add_task("epochs", total=epochs, completed=self._epochs)
            self._view.start()

    def suggest(self, parameter: str, value: object, seconds: float, instead_of: float) -> None:
        """Prints the option with the time that it saves."""
        self.log(
            f"With {self._named(parameter)} {value}, search and retraining together would "
            f"take about {duration(seconds)} instead of {duration(instead_of)}."
        )

    def trial_started(self, trial: TrialRecord) -> None:
        """Shows the name of the trial in its bar."""
        raise_if_interrupted()
        if self._trials_bar is not None and not self._workers:
            self._bars.update(self._trials_bar, description=f"trial {trial.trial}")

    def worker_started(self, worker: str, trial: TrialRecord) -> None:
        """Shows what each worker runs in the bar of the trials."""
        self._workers[worker] = trial.trial
        if self._trials_bar is not None:
            running = ", ".join(f"{trial} ({worker})" for worker, trial in self._workers.items())
            self._bars.update(self._trials_bar, description=f"trials {running}")

    def epoch_done(self, epoch: Epoch) -> None:
        """Advances the epochs bar of a search; in a retraining, prints the curve so far."""
        raise_if_interrupted()
        if self._epochs_bar is not None:
            self._bars.advance(self._epochs_bar)
        elif not self._planned:
            if epoch.epoch == 1:  # a new training starts
                self._curve = []
            self._curve.append(epoch)
            self.log(
                f"phase {epoch.phase} epoch {epoch.epoch:>3}  loss {epoch.loss:.4f}  "
                f"accuracy {epoch.accuracy:.4f}  val_loss {epoch.val_loss:.4f}  "
                f"val_accuracy {epoch.val_accuracy:.4f}  "
                f"{sparkline([e.loss for e in self._curve])} train "
                f"{sparkline([e.val_loss for e in self._curve])} validation"
            )

    def trial_done(self, trial: TrialRecord, best: TrialRecord | None) -> None:
        """Prints one line for the trial and updates the line of the best one."""
        self._done += 1
        self._epochs += trial.epochs
        if trial.is_replaced:
            self._planned += 1
            self._planned_epochs += trial.epochs
        score = trial.message
        if trial.score is not None:
            score = f"score {plus_minus(trial.score, trial.standard_error, 5)}"
        self.log(
            f"{self._done:>3}/{self._planned} trial {trial.trial}  {trial.epochs:>2} epochs  "
            f"{score}  {trial.seconds:.1f} s  {describe(trial.hyperparameters)}"
        )
        if self._trials_bar is not None and self._epochs_bar is not None:
            self._bars.update(self._trials_bar, completed=self._done, total=self._planned)
            # A failed trial ends early and counts with its whole budget.
            self._bars.update(self._epochs_bar, completed=self._epochs, total=self._planned_epochs)
            if best and best.score is not None:
                score = plus_minus(best.score, best.standard_error, 5)
                self._best.plain = (
                    f"best {best.trial}: {score} at {counted(best.epochs, 'epoch')}  "
                    f"{describe(best.hyperparameters)}"
                )
