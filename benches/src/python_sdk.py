"""Get Cluster by the official SDK: `HOST TOKEN CLUSTER once` does it once, `measure` prints figures as JSON."""

import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from databricks.sdk import WorkspaceClient

CALLERS = 64
CALLS = 1280

host, token, cluster, what = sys.argv[1:]
workspace = WorkspaceClient(host=host, token=token)


def timed():
    started = time.perf_counter()
    workspace.clusters.get(cluster)
    return time.perf_counter() - started


if what == "once":
    workspace.clusters.get(cluster)
else:
    latency = statistics.median([timed() for _ in range(350)][50:])
    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(lambda _: timed(), range(CALLERS)))
        started = time.perf_counter()
        list(pool.map(lambda _: timed(), range(CALLS)))
        throughput = CALLS / (time.perf_counter() - started)
    print(json.dumps({"latency": latency, "throughput": throughput}))
