"""Progress for people: live bars on a terminal, plain lines external; all on stderr."""

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

from concrete_study.cli.interruption import raise_if_interrupted
from concrete_study.results.formats import describe, duration
from concrete_study.results.records import Epoch, TrialRecord
from concrete_study.search.progress import SearchProgress

# Seconds; what ends sooner needs no forecast. The first batch, which compiles, is left out of it.
FORECAST_AFTER = 20.0


def sparkline(values: Sequence[float]) -> str:
    """A curve in one line of text, from its lowest to its highest value."""
    low, high = min(values), max(values)
    blocks = "▁▂▃▄▅▆▇█"
    return "".join(blocks[round(7 * (v - low) / ((high - low) or 1))] for v in values)


class SpeedColumn(ProgressColumn):
    """Images, or another unit, per second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Blank until something was measured."""
        return Text(f"{task.speed:.1f} {self._unit}/s" if task.speed else "")


class Display(SearchProgress):
    """Draws progress: bars if stderr is a terminal, else one line per trial."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._live = self.console.is_terminal
        self._best = Text()
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            speed_estimate_period=3600,  # trials differ so much that a shorter one would jump about
        )
        self._view = Live(Group(self._bars, self._best), console=self.console)
        self._planned = self._done = self._epochs = 0
        self._trials_bar: TaskID | None = None
        self._epochs_bar: TaskID | None = None
        self._curve: list[Epoch] = []

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
        """One line that stays."""
        self.console.print(message, markup=False)

    def counting(
        self, description: str, total: int, unit: str = "images"
    ) -> AbstractContextManager[Callable[[int], None]]:
        """A bar of its own while the block runs; without a terminal one line at its end."""
        count = self._bar if self._live else self._silent
        return count(description, total, unit)

    @contextmanager
    def _bar(self, description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            SpeedColumn(unit),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, speed_estimate_period=300) as progress:
            task = progress.add_task(description, total=total or None)

            def count(number: int) -> None:
                progress.advance(task, number)
                raise_if_interrupted()

            yield count

    @contextmanager
    def _silent(self, description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        from time import monotonic

        start, done, told = monotonic(), 0, False
        first: tuple[float, int] | None = None  # when the first batch was done, and its images
        if total:
            self.log(f"{description}: {total} {unit} ...")

        def count(number: int) -> None:
            nonlocal done, told, first
            done += number
            raise_if_interrupted()
            now = monotonic()
            first = first or (now, done)
            if told or now - first[0] <= FORECAST_AFTER or done >= total:
                return
            told = True
            left = duration((now - first[0]) / (done - first[1]) * (total - done))
            self.log(f"{description}: {done} {unit}, about {left} more")

        yield count
        seconds = monotonic() - start
        if done:
            self.log(
                f"{description}: {done} {unit} in {seconds:.1f} s ({done / seconds:.1f} a second)"
            )

    def plan(self, trials: int, epochs: int, kept: Sequence[TrialRecord]) -> None:
        """What the search runs in all; the bars begin where an earlier run ended."""
        self._planned, self._done = trials, len(kept)
        self._epochs = sum(record.epochs for record in kept)
        if self._live:
            self._trials_bar = self._bars.add_task("trials", total=trials, completed=self._done)
            self._epochs_bar = self._bars.add_task("epochs", total=epochs, completed=self._epochs)
            self._view.start()

    def trial_started(self, trial: TrialRecord) -> None:
        """Names the trial in the bar."""
        raise_if_interrupted()
        if self._trials_bar is not None:
            self._bars.update(self._trials_bar, description=f"trial {trial.trial}")

    def epoch_done(self, epoch: Epoch) -> None:
        """Moves the epochs bar of a search; outside one, draws the curve so far."""
        raise_if_interrupted()
        if self._epochs_bar is not None:
            self._bars.advance(self._epochs_bar)
        elif not self._planned:
            if epoch.epoch == 1:  # another training begins
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
        """One line for the trial; the best so far stays in sight."""
        self._done += 1
        self._epochs += trial.epochs
        score = trial.message if trial.score is None else f"score {trial.score:.5f}"
        self.log(
            f"{self._done:>3}/{self._planned} trial {trial.trial}  {trial.epochs:>2} epochs  "
            f"{score}  {trial.seconds:.1f} s  {describe(trial.hyperparameters)}"
        )
        if self._trials_bar is not None and self._epochs_bar is not None:
            self._bars.update(self._trials_bar, completed=self._done)
            # A failed trial ends early: its budget is spent all the same.
            self._bars.update(self._epochs_bar, completed=self._epochs)
            if best and best.score is not None:
                score = f"{best.score:.5f} at {best.epochs} epochs"
                self._best.plain = f"best {best.trial}: {score}  {describe(best.hyperparameters)}"
