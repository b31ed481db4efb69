//! The Databricks connector.
