//! What commands and statements end with, as output schemas describe it. Nothing is built from these types: results are
//! decoded (`command_results.rs`) or written row by row (`statement_result.rs`).

#![expect(dead_code, reason = "described and never built, see above")]

use schemars::JsonSchema;
use serde_json::Value;

/// # Command
#[derive(JsonSchema)]
pub(crate) struct CommandOutput {
    /// The unique identifier of the command.
    id: String,
    /// Queued, Running, Cancelling, Finished, Cancelled or Error.
    status: Option<String>,
    /// What the command gave; nothing while it runs.
    results: Option<CommandResults>,
    /// What to know about how it ran, such as a context that could not be destroyed.
    note: Option<String>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CommandResults {
    /// What the other fields are: text, table, image, images or error.
    result_type: String,
    /// The text, or the rows of a table.
    data: Option<Value>,
    /// Names and types of the columns of a table.
    columns: Option<Vec<TableColumn>>,
    /// The columns of a table as Databricks describes them.
    schema: Option<Vec<Value>>,
    /// Whether Databricks cut the table.
    truncated: Option<bool>,
    /// What was drawn.
    images: Option<Vec<Image>>,
    /// The exception that the program ended with, such as NameError.
    name: Option<String>,
    /// What the exception says.
    message: Option<String>,
    /// Where the exception came from.
    traceback: Option<String>,
    /// The error in a line or two.
    summary: Option<String>,
    /// The traceback, under the name that Databricks gives it.
    cause: Option<String>,
}

#[derive(JsonSchema)]
struct TableColumn {
    /// The column's name.
    name: String,
    /// A type's name, or the JSON text that describes a nested type.
    r#type: String,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Image {
    /// Such as image/png.
    media_type: Option<String>,
    /// The image itself.
    base64: Option<String>,
    /// Where a large image is, in place of the image itself.
    path: Option<String>,
}

/// # Statement
#[derive(JsonSchema)]
pub(crate) struct SqlResult {
    /// The unique identifier of the statement.
    statement_id: String,
    /// How the statement is.
    status: StatementStatus,
    /// What Databricks says of the result: columns, numbers of chunks and rows.
    manifest: Option<Value>,
    /// The rows, as objects or as arrays.
    rows: Option<Vec<Value>>,
    /// The rows as Databricks sends them, in place of typed ones.
    result: Option<RawResult>,
    /// How many rows there are.
    row_count: Option<u64>,
    /// Whether a limit cut the result.
    truncated: Option<bool>,
    /// Which limit did, and after which row.
    truncated_by: Option<String>,
}

#[derive(JsonSchema)]
struct StatementStatus {
    /// SUCCEEDED, or PENDING or RUNNING when the result is not waited for.
    state: String,
}

#[derive(JsonSchema)]
struct RawResult {
    /// Rows of text and null.
    data_array: Vec<Vec<Value>>,
}
