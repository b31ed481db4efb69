"""A large result by the official SDK: `HOST TOKEN WAREHOUSE STATEMENT parse` reads it, `… write FILE` writes it as CSV too.

Links are followed as users of the SDK do it: one after the other, each body parsed whole. Prints figures as JSON; the time
begins when all is imported and connected.
"""

import csv
import json
import sys
import time

import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.sql import Disposition, Format, StatementState

host, token, warehouse, statement, what = sys.argv[1:6]
client = WorkspaceClient(host=host, token=token)
started = time.perf_counter()

api = client.statement_execution
answer = api.execute_statement(
    statement,
    warehouse,
    disposition=Disposition.EXTERNAL_LINKS,
    format=Format.JSON_ARRAY,
    wait_timeout="50s",
)
while answer.status.state in (StatementState.PENDING, StatementState.RUNNING):
    time.sleep(0.2)
    answer = api.get_statement(answer.statement_id)
assert answer.status.state == StatementState.SUCCEEDED, answer.status

file = writer = None
if what == "write":
    file = open(sys.argv[6], "w", newline="", encoding="utf-8")
    writer = csv.writer(file)
    writer.writerow([column.name for column in answer.manifest.schema.columns])
session = requests.Session()
rows, chunk = 0, answer.result
while chunk is not None:
    following = None
    for link in chunk.external_links or []:
        got = session.get(link.external_link, headers=link.http_headers)
        got.raise_for_status()
        part = json.loads(got.content)
        rows += len(part)
        if writer:
            writer.writerows(part)
        following = link.next_chunk_index
    chunk = following and api.get_statement_result_chunk_n(answer.statement_id, following)
if file:
    file.close()
print(json.dumps({"rows": rows, "seconds": time.perf_counter() - started}))
