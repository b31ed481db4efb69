//! Everything that a connector can call: WASI's clocks, random numbers, standard streams and our HTTP. No files, no sockets.

use wasmtime::component::{Linker, Resource};
use wasmtime::{Engine, StoreContextMut};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::p2::bindings::{cli, io::error::Error as IoError, random};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi_http::Error as WasiError;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;

use crate::instance::Host;

pub(crate) fn new(engine: &Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(l)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(l)?;
    // The standard library of Rust imports these, needed or not. What they answer is empty.
    cli::environment::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    cli::exit::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    cli::terminal_input::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    cli::terminal_output::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    cli::terminal_stdin::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    cli::terminal_stdout::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    cli::terminal_stderr::add_to_linker::<Host, WasiCli>(l, Host::cli)?;
    random::insecure::add_to_linker::<Host, WasiRandom>(l, |host| host.ctx().ctx.random())?;
    random::insecure_seed::add_to_linker::<Host, WasiRandom>(l, |host| host.ctx().ctx.random())?;
    type_body_errors(l)?;
    Ok(linker)
}

/// Lets guests learn why a body broke off.
///
/// wasmtime-wasi-http 48 keeps a failed read as its own `Error`, and its `http-error-code` looks for the contract's type,
/// so guests always hear `none`. Its debug string, where `RUST_BACKTRACE` is set, is a backtrace of the host.
fn type_body_errors(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker.instance("wasi:http/types@0.2.12")?.func_wrap(
        "http-error-code",
        |store: StoreContextMut<'_, Host>, (error,): (Resource<IoError>,)| {
            let error = store.data().table.get(&error)?;
            let code = match error.downcast_ref::<WasiError>() {
                Some(WasiError::ConnectionReadTimeout) => Some(ErrorCode::ConnectionReadTimeout),
                Some(WasiError::HttpResponseIncomplete) => Some(ErrorCode::HttpResponseIncomplete),
                Some(WasiError::HttpResponseBodySize(size)) => {
                    Some(ErrorCode::HttpResponseBodySize(*size))
                }
                Some(_) => Some(ErrorCode::HttpProtocolError),
                None => error.downcast_ref::<ErrorCode>().cloned(),
            };
            Ok((code,))
        },
    )?;
    linker.instance("wasi:io/error@0.2.12")?.func_wrap(
        "[method]error.to-debug-string",
        |store: StoreContextMut<'_, Host>, (error,): (Resource<IoError>,)| {
            Ok((format!("{:#}", store.data().table.get(&error)?),))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}
