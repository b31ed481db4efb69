//! The rest of a result, which a connector passes on unread and the host reads.

use bytes::Bytes;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::p2::{DynInputStream, StreamError};

use crate::bindings::types;
use crate::catalog::unfit;
use crate::error::Error;

/// How much is read at once.
const PART: usize = 64 << 10;

pub(crate) struct Rest {
    /// What the connector has read of it.
    pub(crate) start: Vec<u8>,
    bytes: DynInputStream,
    broken_off: types::Error,
}

impl Rest {
    /// Takes the rest of a result, where it has one, from the instance that brought it, which need not live on for it.
    pub(crate) fn take(
        step: &mut types::Step,
        table: &mut ResourceTable,
    ) -> Result<Option<Self>, Error> {
        let types::Step::Done(output) = step else { return Ok(None) };
        let Some(types::Rest { start, bytes, broken_off }) = output.rest.take() else {
            return Ok(None);
        };
        let bytes = table.delete(bytes).map_err(|_| unfit("its rest is still in use"))?;
        Ok(Some(Self { start, bytes, broken_off }))
    }

    /// The next part, none at the end.
    pub(crate) async fn part(&mut self) -> Result<Option<Bytes>, types::Error> {
        loop {
            self.bytes.ready().await;
            match self.bytes.read(PART) {
                // It was ready for nothing, which is not its end.
                Ok(part) if part.is_empty() => {}
                Ok(part) => return Ok(Some(part)),
                Err(StreamError::Closed) => return Ok(None),
                Err(StreamError::LastOperationFailed(_) | StreamError::Trap(_)) => {
                    return Err(self.broken_off.clone());
                }
            }
        }
    }
}
