//! The end of an action that was not interrupted: its result is put together.

use bytes::Bytes;
use serde_json::Value as Json;
use tokio_util::sync::CancellationToken;

use super::{Ended, Performance, Performed};
use crate::bindings::{lenient, types};
use crate::call::{Output, Value};
use crate::emitted::{Emitted, no_text};
use crate::error::{Delivery, Error, ErrorKind};
use crate::rest::Rest;

impl Performance<'_> {
    pub(super) async fn finish(
        &mut self,
        ended: Ended,
        mut emitted: Emitted<'_>,
        cancelled: &CancellationToken,
    ) -> Result<Performed, Error> {
        let (types::Output { mut value, content_type, truncated, summary, .. }, rest) = *ended;
        if let Some(rest) = rest {
            let passed = tokio::select! {
                biased;
                why = self.interrupted(cancelled) => Err(why),
                passed = self.pass_on(&mut value, rest, &mut emitted) => Ok(passed),
            };
            match passed {
                Ok(passed) => passed?,
                Err(why) => return Err(self.stopped(why).await),
            }
        }
        let summary: Option<Json> = summary.as_deref().map(lenient);
        let value = Value::from(value);
        let whole = |value| Output { value, content_type, truncated, summary };
        if emitted.is_empty() {
            return Ok(Performed { output: whole(value), handed: None });
        }
        if matches!(emitted, Emitted::Kept(_)) {
            self.emit(&mut emitted, Bytes::copy_from_slice(value.as_bytes())).await?;
        }
        let text = |bytes| String::from_utf8(bytes).map_err(|_| no_text());
        let (value, handed) = match (emitted, value) {
            (Emitted::Kept(kept), Value::Json(_)) => (Value::Json(text(kept)?), None),
            (Emitted::Kept(kept), Value::Text(_)) => (Value::Text(text(kept)?), None),
            (Emitted::Kept(kept), Value::Binary(_)) => (Value::Binary(kept), None),
            (Emitted::Handed(handed), last) => {
                let scrubber = self.connection.egress.credentials.scrubber();
                let ending = handed.end(&last, &scrubber);
                let ended = self.flight.clock.before(self.deadline, ending).await;
                let ended = ended.unwrap_or_else(|| {
                    let message = "the end of the result was not taken in time";
                    Err(Error::new(ErrorKind::Timeout, message).delivered(Delivery::Applied))
                });
                let handed = ended.map_err(|error| error.with_handle(self.handle.as_ref()))?;
                (Value::Binary(Vec::new()), Some(handed))
            }
        };
        Ok(Performed { output: whole(value), handed })
    }

    /// Reads the rest of a result. What stands before it becomes one more part of it, so that of `value` the kind is left.
    async fn pass_on(
        &self,
        value: &mut types::Value,
        mut rest: Rest,
        emitted: &mut Emitted<'_>,
    ) -> Result<(), Error> {
        let before = match value {
            types::Value::Json(text) | types::Value::Text(text) => {
                std::mem::take(text).into_bytes()
            }
            types::Value::Binary(bytes) => std::mem::take(bytes),
        };
        for part in [before, std::mem::take(&mut rest.start)] {
            self.emit(emitted, part.into()).await?;
        }
        let broken_off = |error: types::Error| self.flight.complete(error.into());
        while let Some(part) = rest.part().await.map_err(broken_off)? {
            self.emit(emitted, part).await?;
        }
        Ok(())
    }

    /// Takes the next part of the result.
    pub(super) async fn emit(&self, emitted: &mut Emitted<'_>, part: Bytes) -> Result<(), Error> {
        let scrubber = self.connection.egress.credentials.scrubber();
        let limit = self.factory.limits.output_bytes;
        let taken = emitted.take(part, &scrubber, limit).await;
        taken.map_err(|error| error.with_handle(self.handle.as_ref()))
    }
}
