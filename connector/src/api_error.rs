//! What Databricks says when it refuses or fails.

use crate::error::{Delivery, Error, ErrorKind};
use crate::http::{Request, Response};

/// The error of an answer whose status is no success.
pub(crate) fn read(_request: &Request, response: &Response) -> Error {
    Error::new(ErrorKind::Unavailable, Delivery::Unknown, format!("status {}", response.status))
}
