//! The component: the contract's exports over the core, and the core's network over `wasi:http`. Only types change hands
//! here; what is decided is decided in the core, which the native tests run.

mod bindings;
mod convert;
mod describe;
mod failure;
mod transport;

use bindings::exports::integration::connector::{actions, catalog, choices, triggers};
use bindings::integration::connector::types;

use transport::WasiHttp;

/// What the world `connector` exports.
struct Component;

impl catalog::Guest for Component {
    fn describe() -> catalog::Description {
        crate::describe().into()
    }

    fn check_connection(
        connection: types::Connection,
    ) -> Result<catalog::ResolvedConnection, types::Error> {
        Ok(crate::check_connection(&connection.into())?.into())
    }
}

impl actions::Guest for Component {
    fn start(invocation: actions::Invocation) -> Result<types::Step, types::Error> {
        Ok(crate::start(&WasiHttp, &invocation.into())?.try_into()?)
    }

    fn resume(
        invocation: actions::Invocation,
        state: types::Json,
    ) -> Result<types::Step, types::Error> {
        Ok(crate::resume(&WasiHttp, &invocation.into(), &state)?.try_into()?)
    }

    fn recover(
        invocation: actions::Invocation,
        state: Option<types::Json>,
    ) -> Result<types::Step, types::Error> {
        Ok(crate::recover(&WasiHttp, &invocation.into(), state.as_deref())?.try_into()?)
    }

    fn cancel(invocation: actions::Invocation, state: types::Json) -> Result<(), types::Error> {
        Ok(crate::cancel(&WasiHttp, &invocation.into(), &state)?)
    }
}

impl choices::Guest for Component {
    fn find(
        source: String,
        connection: types::Connection,
        _input: types::Json,
        search: Option<String>,
        page_token: Option<String>,
    ) -> Result<choices::Page, types::Error> {
        let (search, page_token) = (search.as_deref(), page_token.as_deref());
        let page = crate::find_choices(&WasiHttp, &source, &connection.into(), search, page_token)?;
        Ok(page.into())
    }
}

impl triggers::Guest for Component {
    fn poll(
        trigger: String,
        _connection: types::Connection,
        _input: types::Json,
        _cursor: Option<types::Json>,
    ) -> Result<triggers::Batch, types::Error> {
        match crate::poll_trigger(&trigger)? {}
    }
}
