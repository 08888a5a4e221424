"""Listeners that keep a table of what happens: as CSV, or as a JSON object a line."""

import csv
import json

from pytest_taskprogress import DumpingListener

COLUMNS = ("kind", "name", "uuid", "state", "old_state", "percent", "description", "seconds")
MESSAGE = " ".join(["%s"] * len(COLUMNS))


class RowListener(DumpingListener):
    """Dumps a row for each event: a message that has the columns for its arguments."""

    def _receiver(self, kind, state, details):
        self._dump(MESSAGE, *self._row(kind, state, details))

    def _row(self, kind, state, details):
        progress, meta = details["progress"], details["meta"]
        return (
            kind,
            details[f"{kind}_name"],
            details[f"{kind}_uuid"],
            state,
            details["old_state"],
            progress.percent if progress else None,
            meta.get("description"),
            self._engine.clock.monotonic(),
        )


class CsvListener(RowListener):
    """Writes the rows to a file that is open, below a line with the names of the columns."""

    def __init__(self, engine, file, **listen_for):
        super().__init__(engine, **listen_for)
        self._writer = csv.writer(file)
        self._writer.writerow(COLUMNS)

    def _dump(self, message, *args, **kwargs):
        self._writer.writerow(args)


class JsonLinesListener(RowListener):
    """Writes the rows to a file that is open; each is there at once, for `tail -f`."""

    def __init__(self, engine, file, **listen_for):
        super().__init__(engine, **listen_for)
        self._file = file

    def _dump(self, message, *args, **kwargs):
        print(json.dumps(dict(zip(COLUMNS, args, strict=True))), file=self._file, flush=True)
