//! The use of the action that the docs show.

use serde_json::json;

use crate::action::Example;

pub(super) fn example() -> Example {
    let id = "01f0a3c4-7d2e-1b58-9c3a-5e0f8d7b6a21";
    let manifest = json!({
        "format": "JSON_ARRAY",
        "schema": { "column_count": 2, "columns": [
            { "name": "order_id", "position": 0, "type_name": "LONG", "type_text": "BIGINT" },
            { "name": "total", "position": 1, "type_name": "DECIMAL", "type_text": "DECIMAL(12,2)" }
        ] },
        "total_chunk_count": 1, "total_row_count": 1, "truncated": false
    });
    Example {
        input: json!({
            "warehouseId": "4fe75792cd0d304c",
            "sqlStatement": "SELECT order_id, total FROM orders WHERE country = :country LIMIT 10",
            "sqlParameters": [{ "name": "country", "value": "FR" }]
        }),
        answers: vec![
            json!({ "statement_id": id, "status": { "state": "PENDING" } }),
            json!({
                "statement_id": id, "status": { "state": "SUCCEEDED" }, "manifest": manifest,
                "result": {
                    "chunk_index": 0, "row_offset": 0, "row_count": 1,
                    "data_array": [["9007199254740993", "54.25"]]
                }
            }),
        ],
        output: json!({
            "statement_id": id, "status": { "state": "SUCCEEDED" }, "manifest": manifest,
            "rows": [{
                "order_id": 9_007_199_254_740_993_i64,
                "total": 54.25
            }],
            "row_count": 1, "truncated": false
        }),
    }
}
