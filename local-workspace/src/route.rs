//! Which handler answers which path. Methods and paths are all here, what they do is not.

use std::sync::Arc;

use hyper::body::Bytes;
use hyper::http::request::Parts;

use crate::auth::{ACCOUNT_ID, Audience};
use crate::call::Call;
use crate::record::Host;
use crate::reply::{Answer, Reply};
use crate::workspace::Workspace;
use crate::{
    cluster_list, clusters, commands, history, local, oauth, runs, scim, statements, storage,
};

pub(crate) async fn answer(
    workspace: &Arc<Workspace>,
    head: &Parts,
    body: &Bytes,
    host: Host,
) -> Reply {
    let audience = match host {
        Host::Storage => return storage::answer(workspace, head),
        Host::Workspace => Audience::Workspace,
        Host::Account => Audience::Account,
    };
    if let Some(reply) = open(workspace, head, body, audience) {
        return reply;
    }
    let identity = match workspace.credentials.check(&head.headers, audience, head.uri.path()) {
        Ok(identity) => identity,
        Err(refusal) => return refusal,
    };
    let call = Call { head, body, identity };
    let answer = match audience {
        Audience::Workspace => workspace_api(workspace, &call).await,
        Audience::Account => account_api(&call),
    };
    answer.unwrap_or_else(|error| error)
}

/// Paths that need no credentials.
fn open(workspace: &Workspace, head: &Parts, body: &Bytes, audience: Audience) -> Option<Reply> {
    let (method, path) = (head.method.as_str(), head.uri.path());
    if path.starts_with("/api/") {
        return None;
    }
    let origin = workspace.origin(audience);
    if (method, path) == ("GET", "/.well-known/databricks-config") {
        return Some(oauth::config(origin, audience));
    }
    match (method, path.strip_prefix(oauth::root(audience).as_str())?) {
        ("GET", "/.well-known/oauth-authorization-server") => {
            Some(Reply::ok(&oauth::discovery(origin, audience)))
        }
        ("POST", "/v1/token") => {
            let credentials = &workspace.credentials;
            let answer = oauth::token(credentials, origin, audience, &head.headers, body);
            Some(answer.unwrap_or_else(|error| error))
        }
        _ => None,
    }
}

async fn workspace_api(workspace: &Arc<Workspace>, call: &Call<'_>) -> Answer {
    let Some(path) = call.path().strip_prefix("/api/") else { return Err(not_found(call)) };
    let segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    match (call.method().as_str(), segments.as_slice()) {
        (_, ["2.1" | "2.0", "clusters", what]) => cluster_api(workspace, call, what),
        (_, ["2.0", "sql", "warehouses", rest @ ..]) => warehouse_api(workspace, call, rest),
        (_, ["2.0", "sql", "statements", rest @ ..]) => statement_api(workspace, call, rest).await,
        ("GET", ["2.0", "sql", "history", "queries"]) => history::list(workspace, call),
        ("POST", ["2.0", "sql", "queries"]) => workspace.queries.create(call),
        ("GET", ["2.0", "sql", "queries", id]) => workspace.queries.get(id),
        ("DELETE", ["2.0", "sql", "queries", id]) => workspace.queries.delete(id),
        (_, ["2.2" | "2.1", "jobs", what @ ..]) => job_api(workspace, call, what),
        (_, ["2.0", "mlflow", what @ ..]) => mlflow_api(workspace, call, what),
        (_, ["1.2", what, action]) => command_api(workspace, call, what, action),
        ("GET", ["2.0", "preview", "scim", "v2", "Me"]) => Ok(scim::me(call.identity)),
        (
            "GET",
            ["2.0", "preview", "scim", "v2", kind @ ("Groups" | "Users" | "ServicePrincipals")],
        ) => scim::resources(kind, None, call),
        (
            "GET",
            ["2.0", "preview", "scim", "v2", kind @ ("Groups" | "Users" | "ServicePrincipals"), id],
        ) => scim::resources(kind, Some(id), call),
        (_, ["2.0", "local", "echo", ..]) => Ok(local::echo(call)),
        ("GET", ["2.0", "local", "bytes"]) => workspace.bulk.get(call),
        ("GET", ["2.0", "local", "html"]) => Ok(local::html()),
        _ => Err(not_found(call)),
    }
}

fn cluster_api(workspace: &Workspace, call: &Call<'_>, what: &str) -> Answer {
    let clusters = &workspace.clusters;
    match (call.method().as_str(), what) {
        ("GET", "get") => clusters.get(call),
        ("GET", "list") if call.path().starts_with("/api/2.0/") => cluster_list::whole(clusters),
        ("GET", "list") => cluster_list::paged(clusters, call),
        ("GET", "list-node-types") => Ok(clusters::node_types()),
        ("GET", "spark-versions") => Ok(clusters::spark_versions()),
        ("POST", "start") => clusters.start(call),
        ("POST", "restart") => lose_contexts(workspace, &clusters.restart(call)?),
        ("POST", "delete") => lose_contexts(workspace, &clusters.delete(call)?),
        ("POST", "create") => clusters.create(call),
        ("POST", "pin") => clusters.pin(call, true),
        ("POST", "unpin") => clusters.pin(call, false),
        _ => Err(not_found(call)),
    }
}

/// What ran on a cluster ends with it.
fn lose_contexts(workspace: &Workspace, cluster: &str) -> Answer {
    workspace.contexts.close(|context| context.cluster == cluster);
    Ok(Reply::empty())
}

fn command_api(workspace: &Workspace, call: &Call<'_>, what: &str, action: &str) -> Answer {
    match (call.method().as_str(), what, action) {
        ("POST", "contexts", "create") => commands::create_context(workspace, call),
        ("GET", "contexts", "status") => commands::context_status(workspace, call),
        ("POST", "contexts", "destroy") => commands::destroy_context(workspace, call),
        ("POST", "commands", "execute") => commands::execute(workspace, call),
        ("GET", "commands", "status") => commands::status(workspace, call),
        ("POST", "commands", "cancel") => commands::cancel(workspace, call),
        _ => Err(not_found(call)),
    }
}

fn warehouse_api(workspace: &Workspace, call: &Call<'_>, rest: &[&str]) -> Answer {
    let (warehouses, host, port) = (&workspace.warehouses, workspace.host(), workspace.port);
    match (call.method().as_str(), rest) {
        ("GET", []) => warehouses.list(host, port),
        ("POST", []) => warehouses.create(call),
        ("GET", [id]) => warehouses.get(id, host, port),
        ("DELETE", [id]) => warehouses.delete(id),
        ("POST", [id, "start"]) => warehouses.start(id),
        ("POST", [id, "stop"]) => warehouses.stop(id),
        _ => Err(not_found(call)),
    }
}

async fn statement_api(workspace: &Arc<Workspace>, call: &Call<'_>, rest: &[&str]) -> Answer {
    match (call.method().as_str(), rest) {
        ("POST", []) => statements::execute(workspace, call).await,
        ("GET", [id]) => statements::get(workspace, id),
        ("POST", [id, "cancel"]) => statements::cancel(workspace, id),
        ("GET", [id, "result", "chunks", index]) => statements::chunk(workspace, id, index),
        _ => Err(not_found(call)),
    }
}

fn job_api(workspace: &Arc<Workspace>, call: &Call<'_>, what: &[&str]) -> Answer {
    let jobs = &workspace.jobs;
    match (call.method().as_str(), what) {
        ("POST", ["create"]) => jobs.create(call),
        ("GET", ["get"]) => jobs.get(call),
        ("GET", ["list"]) => jobs.list(call),
        ("POST", ["delete"]) => jobs.delete(call),
        ("POST", ["run-now"]) => runs::run_now(workspace, call),
        ("POST", ["runs", "submit"]) => runs::submit(workspace, call),
        ("GET", ["runs", "get"]) => runs::get(workspace, call),
        ("GET", ["runs", "list"]) => runs::list(workspace, call),
        ("POST", ["runs", "cancel"]) => runs::cancel(workspace, call),
        _ => Err(not_found(call)),
    }
}

fn mlflow_api(workspace: &Workspace, call: &Call<'_>, what: &[&str]) -> Answer {
    let mlflow = &workspace.mlflow;
    match (call.method().as_str(), what) {
        ("POST", ["experiments", "create"]) => mlflow.create_experiment(call),
        ("GET", ["experiments", "get"]) => mlflow.experiment(call, "experiment_id"),
        ("GET", ["experiments", "get-by-name"]) => mlflow.experiment(call, "experiment_name"),
        ("POST", ["experiments", "search"]) => mlflow.search_experiments(call),
        ("POST", ["experiments", "delete"]) => mlflow.delete_experiment(call),
        ("POST", ["registered-models", "create"]) => mlflow.create_model(call),
        ("GET", ["databricks", "registered-models", "get"]) => mlflow.model(call),
        ("GET", ["registered-models", "list" | "search"]) => mlflow.models(call),
        _ => Err(not_found(call)),
    }
}

fn account_api(call: &Call<'_>) -> Answer {
    let path = call.path().strip_prefix("/api/2.0/accounts/").unwrap_or_default();
    let segments: Vec<&str> = path.split('/').collect();
    match (call.method().as_str(), segments.as_slice()) {
        (
            "GET",
            [account, "scim", "v2", kind @ ("Groups" | "Users" | "ServicePrincipals"), id @ ..],
        ) if *account == ACCOUNT_ID && id.len() < 2 => {
            scim::resources(kind, id.first().copied(), call)
        }
        (_, [account, _, ..]) if *account != ACCOUNT_ID => {
            let text = format!("Account {account} does not exist.");
            Err(Reply::error(404, "RESOURCE_DOES_NOT_EXIST", &text))
        }
        _ => Err(not_found(call)),
    }
}

/// Databricks leaves `/api/{version}` out when it names the path.
fn not_found(call: &Call<'_>) -> Reply {
    let path = call.path();
    let named = path
        .strip_prefix("/api/")
        .and_then(|rest| rest.find('/').and_then(|slash| rest.get(slash..)))
        .unwrap_or(path);
    let text = format!("No API found for '{} {named}'", call.method());
    Reply::error(404, "ENDPOINT_NOT_FOUND", &text)
}
