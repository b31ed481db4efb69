//! The functions of the contract, as a core module exports them.

/// Name, number of flat parameters, and what it usually returns.
pub(crate) const FUNCTIONS: [(&str, usize, &str); 8] = [
    ("catalog#describe", 0, "i32.const $DESCRIPTION"),
    ("catalog#check-connection", 4, "i32.const $CHECKED"),
    ("actions#start", 10, "i32.const $OUTPUT"),
    ("actions#resume", 12, "i32.const $OUTPUT"),
    ("actions#recover", 13, "i32.const $OUTPUT"),
    ("actions#cancel", 12, "i32.const $NOTHING"),
    ("choices#find", 14, "i32.const $NOTHING"),
    ("triggers#poll", 11, "i32.const $NOTHING"),
];

/// The name of a function's export.
pub(crate) fn export_name(function: &str, version: &str) -> String {
    let (interface, name) = function.split_once('#').unwrap_or_default();
    format!("integration:connector/{interface}@{version}#{name}")
}
