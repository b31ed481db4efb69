"""Runs the commands of one execution context: a JSON line in, a JSON line out, one namespace in between.

Values of a last expression are shown as a notebook shows them; `display` makes tables and images.
"""

import ast
import base64
import datetime
import decimal
import html
import io
import json
import linecache
import os
import signal
import sys
import traceback

RED, GREEN, PLAIN = "\x1b[0;31m", "\x1b[0;32m", "\x1b[0m"
TABLE_ROWS = 1000


class Output:
    """What one command has shown."""

    def __init__(self):
        self.stdout = io.StringIO()
        self.table = None
        self.images = []


output = Output()
running = False


def interrupt(_signal, _frame):
    # A signal that comes late must not end the process.
    if running:
        raise KeyboardInterrupt


def png(value):
    draw = getattr(value, "_repr_png_", None)
    data = draw() if callable(draw) else None
    if data is None and hasattr(value, "savefig"):
        file = io.BytesIO()
        value.savefig(file, format="png")
        data = file.getvalue()
    if isinstance(data, (bytes, bytearray)):
        data = base64.b64encode(data).decode()
    return data and "data:image/png;base64," + data.replace("\n", "")


def type_of(values):
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return "void"
    if kinds == {bool}:
        return "boolean"
    if kinds == {int}:
        return "long"
    if kinds <= {int, float}:
        return "double"
    if kinds == {decimal.Decimal}:
        return "decimal(38,18)"
    if kinds == {datetime.datetime}:
        return "timestamp"
    if kinds == {datetime.date}:
        return "date"
    if kinds <= {list, tuple}:
        inner = type_of([item for value in values if value for item in value])
        return {"type": "array", "elementType": inner, "containsNull": True}
    if kinds == {dict}:
        inner = type_of([item for value in values if value for item in value.values()])
        return {"type": "map", "keyType": "string", "valueType": inner, "valueContainsNull": True}
    return "string"


def cell(value):
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {str(key): cell(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [cell(item) for item in value]
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    return str(value)


def table(rows):
    if hasattr(rows, "to_dict"):
        rows = rows.to_dict("records")
    rows = list(rows)
    if rows and all(isinstance(row, dict) for row in rows):
        names = list(dict.fromkeys(name for row in rows for name in row))
        rows = [[row.get(name) for name in names] for row in rows]
    else:
        rows = [list(row) if isinstance(row, (list, tuple)) else [row] for row in rows]
        width = max((len(row) for row in rows), default=1)
        names = ["value"] if width == 1 else ["_%d" % (n + 1) for n in range(width)]
        rows = [row + [None] * (width - len(row)) for row in rows]
    kinds = [type_of([row[n] for row in rows]) for n in range(len(names))]
    return {
        "resultType": "table",
        "data": [[cell(value) for value in row] for row in rows[:TABLE_ROWS]],
        "schema": [
            {"name": str(name), "type": json.dumps(kind), "metadata": "{}"}
            for name, kind in zip(names, kinds)
        ],
        "truncated": len(rows) > TABLE_ROWS,
        "isJsonSchema": True,
    }


def display(value):
    """Shows an image, a data frame, or a list of dicts or tuples."""
    image = png(value)
    if image:
        output.images.append(image)
    else:
        output.table = table(value)


def displayHTML(text):
    """Shows HTML; this workspace has nothing to draw it with, so it is the text of the result."""
    output.stdout.write(text)


def run(number, source, namespace):
    """Carries a command out; its value, if its last statement is an expression, counts as shown."""
    name = "<command-%d>" % number
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    body = ast.parse(source, name).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), name, "exec"), namespace)
    if last is None:
        return
    value = eval(compile(ast.Expression(last.value), name, "eval"), namespace)
    if value is None:
        return
    image = png(value)
    if image:
        output.images.append(image)
    else:
        output.stdout.write("Out[%d]: %r" % (number, value))


def failure(error, source):
    name, text = type(error).__name__, str(error)
    lines = ["-" * 75, "%s%-42s%s Traceback (most recent call last)" % (RED, name, PLAIN)]
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith("<command-")]
    if isinstance(error, SyntaxError) and error.lineno:
        frames = [traceback.FrameSummary(error.filename or "<command>", error.lineno, "<module>")]
    for frame in frames:
        lines.append("File %s%s, line %d%s" % (GREEN, frame.filename, frame.lineno, PLAIN))
        code = source.splitlines()
        for number in range(max(1, frame.lineno - 2), min(len(code), frame.lineno + 2) + 1):
            mark = "---->" if number == frame.lineno else "     "
            lines.append("%s%s %d%s %s" % (GREEN, mark, number, PLAIN, code[number - 1]))
    lines += ["", "%s%s%s: %s" % (RED, name, PLAIN, text)]
    summary = '<span class="ansi-red-fg">%s</span>: %s' % (name, html.escape(text, quote=False))
    return {"resultType": "error", "summary": summary, "cause": "\n".join(lines)}


def shown():
    if len(output.images) > 1:
        return {"resultType": "images", "fileNames": output.images}
    if output.images:
        return {"resultType": "image", "fileName": output.images[0]}
    if output.table is not None:
        return output.table
    return {"resultType": "text", "data": output.stdout.getvalue().rstrip("\n")}


def main():
    global output, running
    # Programs that a command starts must not write between the lines of the protocol.
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    signal.signal(signal.SIGINT, interrupt)
    namespace = {"__name__": "__main__", "display": display, "displayHTML": displayHTML}
    answers.write('{"ready": true}\n')
    answers.flush()
    for number, line in enumerate(requests, 1):
        source = json.loads(line)["command"]
        output = Output()
        sys.stdout = output.stdout
        try:
            running = True
            run(number, source, namespace)
            running = False
            result = shown()
        except BaseException as error:
            running = False
            result = failure(error, source)
        answers.write(json.dumps(result) + "\n")
        answers.flush()


main()
