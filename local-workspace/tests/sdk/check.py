"""Drives a local workspace with the official SDK: one line per check, and a status that tells whether all passed."""

import csv
import io
import logging
import os
import sys
import threading
import time
import traceback

import requests
from databricks.sdk import AccountClient, WorkspaceClient
from databricks.sdk.errors import (
    DatabricksError,
    InternalError,
    InvalidParameterValue,
    NotFound,
    PermissionDenied,
    ResourceDoesNotExist,
    Unauthenticated,
)
from databricks.sdk.service import compute, jobs, ml, sql

# The waiters sleep whole seconds between looks, which the states here do not need.
_sleep = time.sleep
time.sleep = lambda seconds: _sleep(min(seconds, 0.05))

E = os.environ
w = WorkspaceClient(host=E["HOST"], token=E["TOKEN"], auth_type="pat")
failed = 0
checks = []


def check(function):
    checks.append(function)
    return function


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError("no %s was raised" % kind.__name__)


@check
def clusters_list_joins_pages():
    ids = [cluster.cluster_id for cluster in w.clusters.list(page_size=2)]
    assert len(ids) == len(set(ids)) == 6, ids
    states = compute.ListClustersFilterBy(cluster_states=[compute.State.TERMINATED])
    found = list(w.clusters.list(filter_by=states))
    assert found and all(one.state == compute.State.TERMINATED for one in found)


@check
def cluster_is_typed():
    cluster = w.clusters.get(E["RUNNING_CLUSTER"])
    assert cluster.spark_context_id == 4807253301926158113
    assert cluster.state == compute.State.RUNNING
    assert cluster.spec.spark_version == cluster.spark_version
    assert cluster.cluster_source == compute.ClusterSource.UI


@check
def cluster_starts_restarts_and_terminates():
    started = w.clusters.start_and_wait(E["TERMINATED_CLUSTER"])
    assert started.state == compute.State.RUNNING
    assert w.clusters.restart_and_wait(E["TERMINATED_CLUSTER"]).state == compute.State.RUNNING
    assert w.clusters.delete_and_wait(E["TERMINATED_CLUSTER"]).state == compute.State.TERMINATED
    w.clusters.ensure_cluster_is_running(E["TERMINATED_CLUSTER"])


@check
def cluster_is_created():
    made = w.clusters.create_and_wait(
        spark_version=w.clusters.select_spark_version(long_term_support=True),
        node_type_id=w.clusters.select_node_type(local_disk=True),
        cluster_name="made-here",
        num_workers=1,
    )
    assert made.state == compute.State.RUNNING and made.cluster_name == "made-here"


@check
def node_types_are_listed():
    types = w.clusters.list_node_types().node_types
    assert types and all(one.node_type_id and one.memory_mb for one in types)


@check
def warehouses_are_listed_started_and_stopped():
    ids = [warehouse.id for warehouse in w.warehouses.list()]
    assert E["RUNNING_WAREHOUSE"] in ids and E["STOPPED_WAREHOUSE"] in ids
    assert w.warehouses.get(E["RUNNING_WAREHOUSE"]).health.status == sql.Status.HEALTHY
    assert w.warehouses.start_and_wait(E["STOPPED_WAREHOUSE"]).state == sql.State.RUNNING
    assert w.warehouses.stop_and_wait(E["STOPPED_WAREHOUSE"]).state == sql.State.STOPPED


@check
def commands_run_in_a_context():
    where = {"cluster_id": E["RUNNING_CLUSTER"]}
    context = w.command_execution.create_and_wait(language=compute.Language.PYTHON, **where)
    where["context_id"] = context.id

    def run(command):
        return w.command_execution.execute_and_wait(
            language=compute.Language.PYTHON, command=command, **where
        )

    run("x = 41")
    result = run("print(x + 1)")
    assert result.status == compute.CommandStatus.FINISHED
    assert result.results.data == "42", result.results
    error = run("1/0").results
    assert error.result_type == compute.ResultType.ERROR and "ZeroDivisionError" in error.summary
    table = run("display([{'a': 1, 'b': 'x'}])").results
    assert table.data == [[1, "x"]] and table.schema[0]["name"] == "a"
    w.command_execution.destroy(**where)


@check
def running_command_is_cancelled():
    where = {"cluster_id": E["RUNNING_CLUSTER"]}
    context = w.command_execution.create_and_wait(language=compute.Language.PYTHON, **where)
    where["context_id"] = context.id
    waiting = w.command_execution.execute(
        language=compute.Language.PYTHON, command="import time; time.sleep(600)", **where
    )
    cancelled = w.command_execution.cancel_and_wait(command_id=waiting.command_id, **where)
    assert cancelled.status == compute.CommandStatus.CANCELLED
    w.command_execution.destroy(**where)


@check
def statement_takes_parameters():
    answer = w.statement_execution.execute_statement(
        "SELECT order_id, total FROM orders WHERE total >= :floor AND country = :country ORDER BY 1",
        E["RUNNING_WAREHOUSE"],
        catalog="main",
        schema="sales",
        parameters=[
            sql.StatementParameterListItem(name="floor", value="50.00", type="DECIMAL(12,2)"),
            sql.StatementParameterListItem(name="country", value="FR"),
        ],
    )
    assert answer.status.state == sql.StatementState.SUCCEEDED, answer.status
    assert answer.result.data_array == [["9007199254740993", "129.90"], ["9007199254740996", "1249.00"]]
    columns = answer.manifest.schema.columns
    assert columns[0].type_name == sql.ColumnInfoTypeName.LONG
    assert (columns[1].type_precision, columns[1].type_scale) == (12, 2)


@check
def statement_is_followed_through_its_chunks():
    answer = w.statement_execution.execute_statement(
        "SELECT id FROM range(25000)", E["RUNNING_WAREHOUSE"], wait_timeout="0s"
    )
    while answer.status.state in (sql.StatementState.PENDING, sql.StatementState.RUNNING):
        _sleep(0.02)
        answer = w.statement_execution.get_statement(answer.statement_id)
    rows, chunk = list(answer.result.data_array), answer.result
    while chunk.next_chunk_index is not None:
        chunk = w.statement_execution.get_statement_result_chunk_n(
            answer.statement_id, chunk.next_chunk_index
        )
        rows += chunk.data_array
    assert [int(row[0]) for row in rows] == list(range(25000))


@check
def external_links_are_read_to_the_end():
    query = "SELECT id, CAST(id AS DECIMAL(38,6)) AS exact, concat('Ação ', id) AS text, CAST(NULL AS DATE) AS none FROM range(5000)"
    for form in (sql.Format.JSON_ARRAY, sql.Format.CSV):
        answer = w.statement_execution.execute_statement(
            query,
            E["RUNNING_WAREHOUSE"],
            disposition=sql.Disposition.EXTERNAL_LINKS,
            format=form,
            wait_timeout="50s",
        )
        assert answer.manifest.format == form and answer.manifest.total_chunk_count > 3
        rows, chunk = [], answer.result
        while True:
            for link in chunk.external_links:
                assert link.row_offset == len(rows) - (form == sql.Format.CSV and bool(rows))
                got = requests.get(link.external_link, headers=link.http_headers)
                assert got.status_code == 200 and len(got.content) == link.byte_count, got.text
                got.encoding = "utf-8"
                rows += got.json() if form == sql.Format.JSON_ARRAY else csv.reader(io.StringIO(got.text))
            if link.next_chunk_index is None:
                break
            chunk = w.statement_execution.get_statement_result_chunk_n(
                answer.statement_id, link.next_chunk_index
            )
        if form == sql.Format.CSV:
            assert rows.pop(0) == ["id", "exact", "text", "none"]
        assert len(rows) == answer.manifest.total_row_count == 5000
        assert rows[4999] == ["4999", "4999.000000", "Ação 4999", None if form == sql.Format.JSON_ARRAY else "null"]
        assert [int(row[0]) for row in rows] == list(range(5000))


@check
def failed_statement_tells_why():
    answer = w.statement_execution.execute_statement("SELECT * FROM nosuch", E["RUNNING_WAREHOUSE"])
    assert answer.status.state == sql.StatementState.FAILED
    assert answer.status.error.error_code == sql.ServiceErrorCode.BAD_REQUEST
    assert "TABLE_OR_VIEW_NOT_FOUND" in answer.status.error.message


@check
def statement_is_canceled():
    answer = w.statement_execution.execute_statement(
        "SELECT count(*) FROM range(100000000) a CROSS JOIN range(1000) b",
        E["RUNNING_WAREHOUSE"],
        wait_timeout="0s",
    )
    w.statement_execution.cancel_execution(answer.statement_id)
    while answer.status.state in (sql.StatementState.PENDING, sql.StatementState.RUNNING):
        _sleep(0.02)
        answer = w.statement_execution.get_statement(answer.statement_id)
    assert answer.status.state == sql.StatementState.CANCELED


@check
def current_user_is_the_owner_of_the_token():
    me = w.current_user.me()
    assert me.user_name == "ines.moreau@example.com" and me.active
    assert w.get_workspace_id() == 7206439413551325


@check
def history_is_listed_newest_first():
    for n in range(3):
        w.statement_execution.execute_statement("SELECT %d AS h" % n, E["RUNNING_WAREHOUSE"])
    where = sql.QueryFilter(warehouse_ids=[E["RUNNING_WAREHOUSE"]])
    page = w.query_history.list(filter_by=where, max_results=2)
    assert [one.query_text for one in page.res] == ["SELECT 2 AS h", "SELECT 1 AS h"]
    assert page.has_next_page and page.res[0].status == sql.QueryStatus.FINISHED
    assert page.res[0].statement_type == sql.QueryStatementType.SELECT
    rest = w.query_history.list(filter_by=where, page_token=page.next_page_token, max_results=1)
    assert rest.res[0].query_text == "SELECT 0 AS h"
    found = w.query_history.list(filter_by=sql.QueryFilter(statement_ids=[page.res[1].query_id]))
    assert [one.query_text for one in found.res] == ["SELECT 1 AS h"]


def sql_task(key, text):
    wanted = sql.CreateQueryRequestQuery(
        display_name=key, query_text=text, warehouse_id=E["RUNNING_WAREHOUSE"]
    )
    query = jobs.SqlTaskQuery(query_id=w.queries.create(query=wanted).id)
    return jobs.SqlTask(warehouse_id=E["RUNNING_WAREHOUSE"], query=query)


@check
def job_runs_once_for_a_token():
    task = jobs.Task(task_key="count", sql_task=sql_task("count", "SELECT count(*) FROM main.sales.orders"))
    job = w.jobs.create(name="made-here", tasks=[task])
    assert w.jobs.get(job.job_id).settings.tasks[0].task_key == "count"
    assert [one.job_id for one in w.jobs.list(name="made-here")] == [job.job_id]
    first = w.jobs.run_now(job.job_id, idempotency_token="the-same")
    again = w.jobs.run_now(job.job_id, idempotency_token="the-same")
    assert first.run_id == again.run_id
    run = first.result()
    assert run.state.result_state == jobs.RunResultState.SUCCESS, run.state
    assert run.status.termination_details.code == jobs.TerminationCodeCode.SUCCESS
    assert [one.run_id for one in w.jobs.list_runs(job_id=job.job_id)] == [run.run_id]
    w.jobs.delete(job.job_id)
    raises(ResourceDoesNotExist, lambda: w.jobs.get(job.job_id))


@check
def run_is_submitted_and_another_canceled():
    task = jobs.SubmitTask(task_key="one", sql_task=sql_task("one", "SELECT 1"))
    run = w.jobs.submit_and_wait(run_name="ad-hoc", tasks=[task])
    assert run.run_type == jobs.RunType.SUBMIT_RUN and run.run_name == "ad-hoc"
    slow = "SELECT count(*) FROM range(100000000) a CROSS JOIN range(1000) b"
    waiting = w.jobs.submit(tasks=[jobs.SubmitTask(task_key="slow", sql_task=sql_task("slow", slow))])
    w.jobs.cancel_run_and_wait(waiting.run_id)
    ended = w.jobs.get_run(waiting.run_id)
    assert ended.state.result_state == jobs.RunResultState.CANCELED


@check
def experiments_are_found_and_deleted():
    made = w.experiments.create_experiment("/Shared/churn")
    experiment = w.experiments.get_experiment(made.experiment_id).experiment
    assert (experiment.name, experiment.lifecycle_stage) == ("/Shared/churn", "active")
    assert w.experiments.get_by_name("/Shared/churn").experiment.experiment_id == made.experiment_id
    assert made.experiment_id in [one.experiment_id for one in w.experiments.search_experiments()]
    w.experiments.delete_experiment(made.experiment_id)
    assert list(w.experiments.search_experiments()) == []
    deleted = w.experiments.search_experiments(view_type=ml.ViewType.DELETED_ONLY)
    assert [one.experiment_id for one in deleted] == [made.experiment_id]
    raises(NotFound, lambda: w.experiments.get_experiment("1"))


@check
def models_are_registered():
    made = w.model_registry.create_model("churn", description="monthly").registered_model
    assert made.name == "churn"
    w.model_registry.create_model("forecast")
    got = w.model_registry.get_model("churn").registered_model_databricks
    assert got.id and got.permission_level == ml.PermissionLevel.CAN_MANAGE
    assert [one.name for one in w.model_registry.list_models(max_results=1)] == ["churn", "forecast"]
    found = w.model_registry.search_models(filter="name = 'forecast'")
    assert [one.name for one in found] == ["forecast"]


@check
def service_principal_logs_in():
    principal = WorkspaceClient(
        host=E["HOST"], client_id=E["CLIENT_ID"], client_secret=E["CLIENT_SECRET"]
    )
    assert principal.config.auth_type == "oauth-m2m"
    assert principal.current_user.me().user_name == E["CLIENT_ID"]
    assert [one.application_id for one in w.service_principals.list()] == [E["CLIENT_ID"]]


@check
def account_console_lists_groups():
    account = AccountClient(
        host=E["ACCOUNT_HOST"],
        account_id=E["ACCOUNT_ID"],
        client_id=E["CLIENT_ID"],
        client_secret=E["CLIENT_SECRET"],
    )
    assert "users" in [group.display_name for group in account.groups.list()]
    assert [one.application_id for one in account.service_principals.list()] == [E["CLIENT_ID"]]


@check
def errors_have_their_classes():
    unknown = raises(ResourceDoesNotExist, lambda: w.clusters.get("0101-000000-nosuch00"))
    assert isinstance(unknown, NotFound)
    raises(NotFound, lambda: w.warehouses.get("0000000000000000"))
    raises(InvalidParameterValue, lambda: w.warehouses.get("nosuchwarehouse"))
    raises(NotFound, lambda: w.statement_execution.get_statement("01f0a3c4-7d2e-1b58-9c3a-5e0f8d7b6a21"))
    raises(NotFound, lambda: w.api_client.do("GET", "/api/2.0/nosuch/path"))
    state = raises(DatabricksError, lambda: w.clusters.start(E["RUNNING_CLUSTER"]))
    assert state.error_code == "INVALID_STATE", state.error_code
    raises(InternalError, lambda: w.command_execution.context_status(E["RUNNING_CLUSTER"], "1"))
    stranger = WorkspaceClient(host=E["HOST"], token="dapiwrong", auth_type="pat")
    raises(PermissionDenied, lambda: stranger.current_user.me())
    wrong = WorkspaceClient(host=E["HOST"], client_id=E["CLIENT_ID"], client_secret="dosewrong")
    assert "invalid_client" in str(raises(Exception, lambda: wrong.current_user.me()))


for function in checks:
    name = function.__name__.replace("_", " ")
    start = time.monotonic()
    try:
        function()
        print("ok      %s (%.2f s)" % (name, time.monotonic() - start))
    except Exception:
        failed += 1
        print("FAILED  %s\n%s" % (name, traceback.format_exc()))
sys.exit(1 if failed else 0)
