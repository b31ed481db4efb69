//! Input types that several actions share. Their labels, comments and drop-down hints travel with them into every form.

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// Declares an identifier: text that is trimmed and not empty.
macro_rules! identifiers {
    ($($(#[$meta:meta])* $name:ident)*) => {$(
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
        $(#[$meta])*
        #[serde(transparent)]
        pub(crate) struct $name(#[serde(deserialize_with = "identifier")] String);

        impl $name {
            pub(crate) fn as_str(&self) -> &str {
                &self.0
            }
        }
    )*};
}

identifiers! {
    /// # Cluster ID
    ///
    /// The unique identifier for the cluster
    #[schemars(extend("minLength" = 1, "x-choices" = { "source": "clusters" }, "x-placeholder" = "0312-091544-k7p2m9qx"))]
    ClusterId

    /// # Warehouse ID
    ///
    /// The ID of an SQL warehouse
    #[schemars(extend("minLength" = 1, "x-choices" = { "source": "warehouses" }, "x-placeholder" = "4fe75792cd0d304c"))]
    WarehouseId

    /// # Execution Context ID
    ///
    /// The ID of the execution context, likely created by the Create Execution Context action.
    #[schemars(extend("minLength" = 1, "x-placeholder" = "6183520974401278843"))]
    ContextId

    /// # Command ID
    ///
    /// The ID of the command to get the status of
    #[schemars(extend("minLength" = 1, "x-placeholder" = "d4aa7b1f2f1c4f0b9c5e8a7d6b3c2e10"))]
    CommandId
}

/// What people paste often has a line end or a space around it that no identifier has.
fn identifier<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(D::Error::custom("must not be blank"));
    }
    if trimmed.chars().any(char::is_control) {
        return Err(D::Error::custom("must be one line, without control characters"));
    }
    // In a path these would mean another place.
    if matches!(trimmed, "." | "..") {
        return Err(D::Error::custom("is no identifier"));
    }
    Ok(trimmed.to_owned())
}

/// # Language
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Language {
    /// # Python
    #[default]
    Python,
    /// # Scala
    Scala,
    /// # SQL
    Sql,
    /// # R
    R,
}

/// # Timeout (seconds)
///
/// How long to wait. When the time is up, the action fails and what it started goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("minimum" = 1, "x-group" = "Waiting", "x-advanced" = true))]
pub(crate) struct TimeoutSeconds(pub(crate) u32);

impl TimeoutSeconds {
    pub(crate) fn as_ms(self) -> u64 {
        u64::from(self.0) * 1_000
    }
}

impl Default for TimeoutSeconds {
    /// The 20 minutes that the official tools wait for compute.
    fn default() -> Self {
        Self(1_200)
    }
}

/// # On timeout
///
/// What becomes of the work when the time is up: it goes on in Databricks, or it is cancelled. The action fails either way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(extend("x-group" = "Waiting", "x-advanced" = true))]
pub(crate) enum OnTimeout {
    /// # Continue
    #[default]
    Continue,
    /// # Cancel
    Cancel,
}
