//! What Databricks answers with, as output schemas describe it. Nothing is read through these types: answers pass as they
//! are, with fields that are not named here.

#![expect(dead_code, reason = "described and never built: answers pass through as they are")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value;

/// # Cluster
#[derive(JsonSchema)]
pub(crate) struct Cluster {
    /// The unique identifier of the cluster.
    cluster_id: String,
    /// The name that people gave it.
    cluster_name: Option<String>,
    /// PENDING, RUNNING, RESTARTING, RESIZING, TERMINATING, TERMINATED, ERROR or UNKNOWN.
    state: Option<String>,
    /// More on the state, such as why the cluster ended.
    state_message: Option<String>,
    /// Version of the Databricks Runtime.
    spark_version: Option<String>,
    /// Node type of the workers.
    node_type_id: Option<String>,
    /// Node type of the driver.
    driver_node_type_id: Option<String>,
    /// Number of workers, when it is fixed.
    num_workers: Option<i64>,
    /// Bounds of the number of workers, when it is not fixed.
    autoscale: Option<Autoscale>,
    /// Minutes without use after which the cluster ends; 0 for never.
    autotermination_minutes: Option<i64>,
    /// Who made it: UI, API, JOB, SQL, PIPELINE, PIPELINE_MAINTENANCE or MODELS.
    cluster_source: Option<String>,
    /// The user who made it.
    creator_user_name: Option<String>,
    /// When it was made, in milliseconds since 1970.
    start_time: Option<i64>,
    /// When it ended, in milliseconds since 1970.
    terminated_time: Option<i64>,
    /// Why it ended.
    termination_reason: Option<TerminationReason>,
    /// Spark settings.
    spark_conf: Option<BTreeMap<String, String>>,
    /// Tags that people gave it.
    custom_tags: Option<BTreeMap<String, String>>,
}

#[derive(JsonSchema)]
struct Autoscale {
    /// The fewest workers.
    min_workers: Option<i64>,
    /// The most workers.
    max_workers: Option<i64>,
}

#[derive(JsonSchema)]
struct TerminationReason {
    /// Such as USER_REQUEST or INACTIVITY.
    code: Option<String>,
    /// SUCCESS, CLIENT_ERROR, SERVICE_FAULT or CLOUD_FAILURE.
    r#type: Option<String>,
    /// What there is to say about the code.
    parameters: Option<BTreeMap<String, String>>,
}

/// # Node type
#[derive(JsonSchema)]
pub(crate) struct NodeType {
    /// What to launch a cluster with.
    node_type_id: String,
    /// The name for people.
    description: Option<String>,
    /// Section of the list of types.
    category: Option<String>,
    /// Memory in MB.
    memory_mb: Option<i64>,
    /// Number of cores.
    num_cores: Option<f64>,
    /// Number of GPUs.
    num_gpus: Option<i64>,
    /// Whether it should not be used for anything new.
    is_deprecated: Option<bool>,
    /// Whether it can be had at present.
    node_info: Option<Value>,
}

/// # SQL warehouse
#[derive(JsonSchema)]
pub(crate) struct Warehouse {
    /// The unique identifier of the warehouse.
    id: String,
    /// The name that people gave it.
    name: Option<String>,
    /// STARTING, RUNNING, STOPPING, STOPPED, DELETING or DELETED.
    state: Option<String>,
    /// Size of its clusters, such as Small.
    cluster_size: Option<String>,
    /// PRO, CLASSIC or REALTIME.
    warehouse_type: Option<String>,
    /// Whether Databricks runs its compute.
    enable_serverless_compute: Option<bool>,
    /// The fewest clusters.
    min_num_clusters: Option<i64>,
    /// The most clusters.
    max_num_clusters: Option<i64>,
    /// Clusters that run now.
    num_clusters: Option<i64>,
    /// Sessions that are open now.
    num_active_sessions: Option<i64>,
    /// Minutes without use after which it stops; 0 for never.
    auto_stop_mins: Option<i64>,
    /// The user who made it.
    creator_name: Option<String>,
    /// What JDBC connects with.
    jdbc_url: Option<String>,
    /// What ODBC connects with.
    odbc_params: Option<Value>,
    /// Whether it is well, and why not.
    health: Option<Value>,
}

/// # User or service principal
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User {
    /// The unique identifier in the workspace.
    id: String,
    /// Email address of a user, application ID of a service principal.
    user_name: Option<String>,
    /// The name for people.
    display_name: Option<String>,
    /// Whether the account may be used.
    active: Option<bool>,
    /// Email addresses.
    emails: Option<Vec<Reference>>,
    /// Groups that it is a member of.
    groups: Option<Vec<Reference>>,
    /// What it may do in the workspace.
    entitlements: Option<Vec<Reference>>,
}

#[derive(JsonSchema)]
struct Reference {
    /// The address, or the identifier of a group.
    value: Option<String>,
    /// The name for people.
    display: Option<String>,
    /// What kind it is.
    r#type: Option<String>,
}

/// # Cluster state
#[derive(JsonSchema)]
pub(crate) struct ClusterChange {
    /// The unique identifier of the cluster.
    cluster_id: String,
    /// The state that was waited for; absent when nothing was waited for.
    state: Option<String>,
    /// What happened, in words.
    message: String,
}

/// # SQL warehouse state
#[derive(JsonSchema)]
pub(crate) struct WarehouseChange {
    /// The unique identifier of the warehouse.
    id: String,
    /// The state that was waited for; absent when nothing was waited for.
    state: Option<String>,
    /// What happened, in words.
    message: String,
}
