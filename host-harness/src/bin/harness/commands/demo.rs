//! `harness demo`: the main job from end to end against a local workspace, each step as the command that does the same.

use std::time::{Duration, Instant};

use host_harness::config::{Environment, usual_path};
use host_harness::{Call, Connection, Harness, Output, Settings};
use local_workspace::{RUNNING_CLUSTER, RUNNING_WAREHOUSE};
use serde_json::{Value, json};

use super::run::invoke;
use crate::args::Global;
use crate::failure::Result;
use crate::local::{self, WITH_CLIENT, WITH_TOKEN};
use crate::output::{Format, Style, line, print};
use crate::session;
use crate::shell;
use crate::terminal::{BOLD, DIM, SUCCESS, Terminal};

const CLUSTER_COLUMNS: &str = "cluster_id,cluster_name,state,node_type_id,num_workers";
const PYTHON: &str =
    r#"import platform; print(f"Python {platform.python_version()} says {6 * 7}")"#;
const SQL: &str = "SELECT order_id, country, total, ordered_at, paid, note FROM main.sales.orders \
                   WHERE total >= :least ORDER BY order_id";

pub(super) async fn perform(global: &Global, terminal: &Terminal) -> Result<()> {
    let started = Instant::now();
    let workspace = local::start(0)?;
    line(&format!("A local workspace listens at {}.", workspace.origin()))?;
    line("Loading the connector, which is compiled the first time.")?;
    let loading = Instant::now();
    let harness = session::load(global, &Settings::default())?;
    timing(loading.elapsed())?;
    let [with_token, with_client] = local::connections(&workspace);
    let with_token = harness.connect(with_token).await?;
    let with_client = harness.connect(with_client).await?;

    let demo = Demo { harness: &harness, connection: &with_token, terminal };
    demo.test(&with_token, WITH_TOKEN, "a personal access token").await?;
    demo.test(&with_client, WITH_CLIENT, "an OAuth client").await?;
    demo.list_clusters().await?;
    demo.run_command().await?;
    demo.run_sql().await?;
    demo.raw_request().await?;
    farewell(started)
}

/// Steps of the demo, on one connection.
struct Demo<'a> {
    harness: &'a Harness,
    connection: &'a Connection,
    terminal: &'a Terminal,
}

impl Demo<'_> {
    async fn test(&self, connection: &Connection, name: &str, how: &str) -> Result<()> {
        heading(
            &format!("Test the connection, with {how}"),
            &format!("harness test-connection --connection {name}"),
        )?;
        let action = self.harness.describe().await?.connection_test.clone();
        let started = Instant::now();
        let output = self.invoke(connection, &action, &json!({})).await?;
        let took = started.elapsed();
        let user = parsed(&output);
        let who = user.get("userName").or_else(|| user.get("displayName")).and_then(Value::as_str);
        let who = who.map(|name| format!(" as {name}")).unwrap_or_default();
        line(&format!("{SUCCESS}ok{SUCCESS:#}  connected{who}"))?;
        timing(took)
    }

    async fn list_clusters(&self) -> Result<()> {
        let columns: Vec<String> = CLUSTER_COLUMNS.split(',').map(str::to_owned).collect();
        let command = shell::run("listClusters", &json!({}), Some(WITH_TOKEN));
        heading("List Clusters", &format!("{command} --columns {CLUSTER_COLUMNS}"))?;
        self.show("listClusters", &json!({}), &columns).await?;
        Ok(())
    }

    async fn run_command(&self) -> Result<()> {
        let input = json!({"clusterId": RUNNING_CLUSTER, "language": "python"});
        let context =
            self.step("Create Execution Context", "createExecutionContext", &input).await?;
        let context = context.get("id").cloned().unwrap_or_default();
        let input = json!({
            "clusterId": RUNNING_CLUSTER,
            "contextId": context,
            "language": "python",
            "command": PYTHON,
        });
        self.step("Run Command: Python on the cluster", "runCommand", &input).await?;
        Ok(())
    }

    async fn run_sql(&self) -> Result<()> {
        let input = json!({
            "warehouseId": RUNNING_WAREHOUSE,
            "sqlStatement": SQL,
            "sqlParameters": [{"name": "least", "value": "50", "type": "DECIMAL(12,2)"}],
        });
        self.step("Execute an SQL Statement, with a parameter", "runSql", &input).await?;
        Ok(())
    }

    async fn raw_request(&self) -> Result<()> {
        let input = json!({"method": "GET", "url": "/2.0/preview/scim/v2/Me"});
        self.step("Raw Request: anything else of the API", "rawRequest", &input).await?;
        Ok(())
    }

    /// One action with the command that does the same, and its result as JSON.
    async fn step(&self, title: &str, action: &str, input: &Value) -> Result<Value> {
        heading(title, &shell::run(action, input, Some(WITH_TOKEN)))?;
        self.show(action, input, &[]).await
    }

    async fn show(&self, action: &str, input: &Value, columns: &[String]) -> Result<Value> {
        let started = Instant::now();
        let output = self.invoke(self.connection, action, input).await?;
        let took = started.elapsed();
        print(&output, Style { format: Some(Format::Table), columns }, self.terminal)?;
        timing(took)?;
        Ok(parsed(&output))
    }

    async fn invoke(&self, connection: &Connection, action: &str, input: &Value) -> Result<Output> {
        let call = Call { action: action.to_owned(), input: input.to_string(), ..Call::default() };
        invoke(self.harness, connection, call, self.terminal).await
    }
}

fn heading(title: &str, command: &str) -> Result<()> {
    line(&format!("\n{BOLD}{title}{BOLD:#}\n{DIM}$ {command}{DIM:#}"))
}

fn timing(took: Duration) -> Result<()> {
    line(&format!("{DIM}({took:.1?}){DIM:#}"))
}

fn parsed(output: &Output) -> Value {
    match &output.value {
        host_harness::Value::Json(text) => serde_json::from_str(text).unwrap_or_default(),
        host_harness::Value::Text(_) | host_harness::Value::Binary(_) => Value::Null,
    }
}

fn farewell(started: Instant) -> Result<()> {
    let file = usual_path(&Environment::of_process());
    let file = file
        .map_or_else(|| "FILE (and --config FILE)".to_owned(), |path| path.display().to_string());
    line(&format!(
        "\n{SUCCESS}All of it worked{SUCCESS:#}, in {:.1?}.\n\n\
         Next\n  \
         harness actions                  what there is to run\n  \
         harness describe runSql          the inputs of one action\n  \
         harness workspace > local.toml   keep a local workspace, and connect to it with --config local.toml\n\n\
         To connect your own workspace, write this to {file}, then run `harness test-connection`:\n\n  \
         [prod]\n  \
         type = \"personalAccessToken\"\n  \
         host = \"dbc-REPLACE-ME.cloud.databricks.com\"\n  \
         apiKey = \"env:DATABRICKS_PROD_TOKEN\"",
        started.elapsed()
    ))
}
